"""The protocol's descriptions of the server and its models, as plain values for HTTP and gRPC."""

from collections.abc import Iterable
from typing import Any

from django.conf import settings

from inference.engine.meters import BOUNDS, OK, Meters
from inference.errors import UnknownModel
from inference.serving.calls import Description
from inference.tensors.signature import TensorSpec
from registry.errors import NotFound

SERVER = "roundhouse"
# Only what is supported: clients choose their calls by this list.
EXTENSIONS = (
    "binary_tensor_data", "classification", "model_configuration", "model_repository", "parameters", "statistics",
)  # fmt: skip


def parse_name(name: str, version: str = "") -> tuple[str, int | None, str | None]:
    """Parse model, version and alias; a model may be named `model@alias`, and a version is a number."""
    model, _, alias = name.partition("@")
    if not model:
        raise UnknownModel("The request names no Model.")
    if not version:
        return model, None, alias or None
    if not (version.isascii() and version.isdigit() and len(version) < 10):
        raise NotFound(
            f"{model} has no version {version[:40]!r}; versions are numbers, and an alias is written after an @."
        )
    return model, int(version), None


def server() -> dict[str, Any]:
    return {
        "name": SERVER,
        "version": settings.SPECTACULAR_SETTINGS["VERSION"],
        "extensions": EXTENSIONS,
    }


def metadata(description: Description) -> dict[str, Any]:
    return {
        "name": description.model,
        "versions": [str(version) for version in description.versions],
        "platform": description.platform,
        "inputs": [_tensor(spec) for spec in description.signature.inputs],
        "outputs": [_tensor(spec) for spec in description.signature.outputs],
    }


def config(description: Description) -> dict[str, Any]:
    """If rows of different requests may share a run, `dims` omit the row axis and `max_batch_size` is the limit."""
    signature = description.signature
    is_batched = description.merged_rows > 1
    skip = 1 if is_batched else 0
    return {
        "name": description.model,
        "platform": description.platform,
        "backend": description.platform.partition("_")[0],
        "max_batch_size": description.merged_rows if is_batched else 0,
        "input": [_configured(spec, _dims_without(spec, skip)) for spec in signature.inputs],
        "output": [_configured(spec, _dims_without(spec, skip)) for spec in signature.outputs],
    }


def index(versions: Iterable[tuple[str, int, str, str]]) -> list[dict[str, str]]:
    return [
        {"name": name, "version": str(version), "state": state, "reason": reason}
        for name, version, state, reason in versions
    ]


def statistics(model: str, version: int, meters: Meters) -> dict[str, Any]:
    """Counts since this process loaded the version. Inputs and outputs take no time: they are not copied."""
    succeeded = meters.ended.get(OK, 0)
    no_time = _duration(succeeded, 0.0)
    mean_s = meters.batch_s / meters.batches if meters.batches else 0.0
    return {
        "name": model,
        "version": str(version),
        "last_inference": int(meters.answered_at * 1000),
        "inference_count": meters.rows,
        "execution_count": meters.batches,
        "inference_stats": {
            "success": _duration(succeeded, meters.queue_s + mean_s * succeeded),
            "fail": _duration(sum(meters.ended.values()) - succeeded, 0.0),
            "queue": _duration(succeeded, meters.queue_s),
            "compute_input": no_time,
            "compute_infer": _duration(succeeded, meters.compute_s),
            "compute_output": no_time,
            "cache_hit": _duration(0, 0.0),
            "cache_miss": _duration(0, 0.0),
        },
        "batch_stats": [
            {
                "batch_size": size,
                "compute_input": _duration(count, 0.0),
                "compute_infer": _duration(count, meters.compute_s * count / meters.batches),
                "compute_output": _duration(count, 0.0),
            }
            for size, count in _batch_sizes(meters)
        ],
    }


def _batch_sizes(meters: Meters) -> list[tuple[int, int]]:
    """Sizes above eight are counted in ranges, which are named by their lower bounds."""
    sizes: dict[int, int] = {}
    for bucket, count in enumerate(meters.batch_rows):
        if count:
            size = int(BOUNDS[bucket - 1]) if bucket else 1
            sizes[size] = sizes.get(size, 0) + count
    return sorted(sizes.items())


def _duration(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": round(seconds * 1e9)}


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": _dims(spec)}


def _configured(spec: TensorSpec, dims: list[int]) -> dict[str, Any]:
    return {"name": spec.name, "data_type": config_type(spec.datatype), "dims": dims}


def config_type(datatype: str) -> str:
    return "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}"


def _dims_without(spec: TensorSpec, axes: int) -> list[int]:
    return _dims(spec)[axes:] if not spec.optional and not spec.any_rank else _dims(spec)


def _dims(spec: TensorSpec) -> list[int]:
    """-1 means any size. A tensor of undeclared rank is shown with one axis, since the protocol cannot express it."""
    return [-1] if spec.any_rank else [-1 if dim is None else dim for dim in spec.shape]
