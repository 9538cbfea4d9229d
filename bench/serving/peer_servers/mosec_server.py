"""A model behind mosec: two workers, batches of at most 64, at most 1 ms of waiting."""

import os

import numpy as np
import onnxruntime
import orjson
from mosec import Runtime, Server, Worker


class OnnxWorker(Worker):
    def __init__(self) -> None:
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"]
        )

    def deserialize(self, data: bytes) -> np.ndarray:
        return np.asarray(orjson.loads(data)["inputs"]["x"], np.float32)

    def forward(self, data: list[np.ndarray]) -> list[np.ndarray]:
        answers = self.session.run(None, {"x": np.concatenate(data)})[0]
        ends = np.cumsum([len(rows) for rows in data])[:-1]
        return np.split(answers, ends) if len(ends) else [answers]

    def serialize(self, data: np.ndarray) -> bytes:
        return orjson.dumps({"outputs": {"y": data}}, option=orjson.OPT_SERIALIZE_NUMPY)


if __name__ == "__main__":
    server = Server()
    server.register_runtime({"/predict": [Runtime(OnnxWorker, num=2, max_batch_size=64, max_wait_time=1)]})
    server.run()
