"""The formats that can be converted, and whether this installation converts them."""

import re
from functools import partial

from django.conf import settings

from inference.confinement.guard import why_not_confined
from inference.convert.environments import state_of
from registry.intake.source_formats import SeenFile, SourceFormat

_PICKLED = re.compile(rb"\x80[\x02-\x05].|\x78[\x01\x5e\x9c\xda]", re.DOTALL)  # or compressed by joblib
_XGBOOST = re.compile(rb"\{.{0,64}?(?:learner|version)", re.DOTALL)


def _is_saved_model(file: SeenFile) -> bool:
    in_zip = any(name.rsplit("/", 1)[-1] == "saved_model.pb" for name in file.entries)
    return in_zip or file.name.endswith((".tar", ".tar.gz", ".tgz"))


def _is_torchscript(file: SeenFile) -> bool:
    return any(name.endswith("/constants.pkl") for name in file.entries)


def _is_xgboost(file: SeenFile) -> bool:
    return file.name.endswith((".json", ".ubj")) and bool(_XGBOOST.match(file.head))


def _missing(name: str, environment: str) -> str:
    if name not in settings.FORMATS:
        return (
            f"Converting it is switched off; an operator can switch it on with ROUNDHOUSE_FORMATS={name}, or you export the"
            " model as ONNX (docs/exporting.md)."
        )
    if (state := state_of(environment)) != "installed":
        kind = "not installed" if state == "missing" else "that of another release"
        return f"Its converter is {kind}; run `manage.py install_converter {environment}`."
    if lacks := why_not_confined():
        return (
            f"It would have to run in a confined process, and there is no confinement on this host: {lacks}."
        )
    return ""


def _format(name: str, label: str, environment: str, **more: object) -> SourceFormat:
    return SourceFormat(name, label, environment, missing=partial(_missing, name, environment), **more)  # type: ignore[arg-type]


_COLUMN_TYPES = {
    "types": "The types of columns that are recognised wrongly, such as city=string,floor=int64."
}

FORMATS = {
    one.name: one
    for one in (
        _format(
            "saved_model", "TensorFlow SavedModel", "tensorflow",
            endings=(".zip", ".tar", ".tar.gz", ".tgz"), recognises=_is_saved_model, is_program=True,
            options={"signature": "The signature to convert; by default serving_default."},
        ),
        _format(
            "tflite", "TensorFlow Lite", "tensorflow",
            endings=(".tflite",), recognises=lambda file: file.head[4:8] == b"TFL3",
        ),
        _format(
            "torchscript", "TorchScript", "torch",
            endings=(".pt", ".pth", ".torchscript"), recognises=_is_torchscript, is_program=True, needs_shapes=True,
            options={
                "dtypes": "The types of the inputs, in order or by name, such as int64 or ids=int64; by default float32.",
                "inputs": "The names of the inputs in order, if they are not those that the module has.",
                "outputs": "Names for the outputs, in order, such as scores,boxes.",
                "varying": "Axes whose sizes vary besides the batch, such as image=2,image=3.",
                "sizes": "Sizes at which the module works, for axes that vary, such as image_2=64; by default 16.",
                "fixed_batch": "The inputs whose first axis is not the batch.",
                "submodule": "The part of the module to convert, such as _model.",
            },
        ),
        _format(
            "skops", "scikit-learn (skops)", "sklearn",
            endings=(".skops",), recognises=lambda file: "schema.json" in file.entries, options=_COLUMN_TYPES,
        ),
        _format(
            "xgboost", "XGBoost (JSON or UBJSON)", "sklearn", endings=(".json", ".ubj"), recognises=_is_xgboost,
        ),
        _format(
            "lightgbm", "LightGBM (text)", "sklearn",
            endings=(".txt",), recognises=lambda file: file.head.startswith(b"tree\nversion="),
        ),
        _format(
            "pickle", "scikit-learn (pickle or joblib)", "sklearn",
            endings=(".pkl", ".pickle", ".joblib"), is_program=True, options=_COLUMN_TYPES,
            recognises=lambda file: file.name.endswith((".pkl", ".pickle", ".joblib")) and bool(_PICKLED.match(file.head)),
        ),
    )
}  # fmt: skip
ENVIRONMENTS = tuple(dict.fromkeys(one.environment for one in FORMATS.values()))
