"""The formats that can be converted: what they are called, how a file of each is recognised, and what converts them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SourceFormat:
    """A format other than ONNX.

    `environment`: the pinned environment that converts it. `is_program`: a file of it is code that runs when it is loaded, so
    that confinement is all there is between it and the machine. `needs_shapes`: the file does not state its inputs.
    """

    name: str
    label: str
    environment: str
    endings: tuple[str, ...]
    is_program: bool = True
    needs_shapes: bool = False


FORMATS = {
    one.name: one
    for one in (
        SourceFormat(
            "saved_model", "TensorFlow SavedModel", "tensorflow", (".zip", ".tar", ".tar.gz", ".tgz")
        ),
        SourceFormat("tflite", "TensorFlow Lite", "tensorflow", (".tflite",), is_program=False),
        SourceFormat(
            "torchscript", "TorchScript", "torch", (".pt", ".pth", ".torchscript"), needs_shapes=True
        ),
        SourceFormat("skops", "scikit-learn (skops)", "sklearn", (".skops",), is_program=False),
        SourceFormat("xgboost", "XGBoost (JSON or UBJ)", "sklearn", (".json", ".ubj"), is_program=False),
        SourceFormat("lightgbm", "LightGBM (text)", "sklearn", (".txt",), is_program=False),
        SourceFormat("pickle", "scikit-learn (pickle or joblib)", "sklearn", (".pkl", ".pickle", ".joblib")),
    )
}
ENVIRONMENTS = tuple(dict.fromkeys(one.environment for one in FORMATS.values()))
