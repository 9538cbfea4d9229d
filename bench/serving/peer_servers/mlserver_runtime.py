"""A model behind MLServer, which has no runtime of its own for ONNX."""

import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxModel(MLModel):
    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            self.settings.parameters.uri, options, providers=["CPUExecutionProvider"]
        )
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = np.asarray(NumpyCodec.decode_input(payload.inputs[0]), np.float32)
        answers = self.session.run(None, {"x": rows})[0]
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("y", answers)])
