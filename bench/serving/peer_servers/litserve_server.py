"""A model behind LitServe: two workers, batches of at most 64, at most 1 ms of waiting."""

import os
import sys

import litserve
import numpy as np
import onnxruntime


class OnnxAPI(litserve.LitAPI):
    def setup(self, device: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"]
        )

    def decode_request(self, request: dict) -> np.ndarray:
        return np.asarray(request["inputs"]["x"], np.float32)

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(inputs)  # every request of the bench has one row

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.session.run(None, {"x": x})[0]

    def unbatch(self, output: np.ndarray) -> list[np.ndarray]:
        return list(output[:, None])

    def encode_response(self, output: np.ndarray) -> dict:
        return {"outputs": {"y": output.tolist()}}


if __name__ == "__main__":
    api = OnnxAPI(max_batch_size=64, batch_timeout=0.001)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=2)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
