"""What the files state that Hugging Face exports beside a model, such as `config.json`."""

from collections.abc import Mapping
from typing import Any

import orjson

from inference.pipelines.errors import BadTaskConfig
from inference.pipelines.pictures import Rounding
from inference.pipelines.pipeline import Files
from inference.pipelines.scores import ScoreFunction

_FUNCTIONS = {
    "single_label_classification": ScoreFunction.SOFTMAX,
    "multi_label_classification": ScoreFunction.SIGMOID,
    "regression": ScoreFunction.NONE,
}
# Numbers of Pillow's resamplers, as `preprocessor_config.json` has them
_RESAMPLERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "area"}


def read_object(files: Files, name: str) -> Mapping[str, Any]:
    """A JSON object; empty if there is no such file, or it holds something else."""
    if name not in files:
        return {}
    try:
        content = orjson.loads(files[name])
    except orjson.JSONDecodeError as error:
        raise BadTaskConfig(f"{name} is not valid JSON: {error}.", field="files") from None
    return content if isinstance(content, dict) else {}


def read_function(files: Files) -> str:
    """What turns the model's outputs into scores, by the `problem_type` of its `config.json`; empty if it says nothing."""
    said = read_object(files, "config.json").get("problem_type")
    return _FUNCTIONS.get(said, "") if isinstance(said, str) else ""


def read_id2label(files: Files) -> list[str]:
    """The labels by id, if there is one for each id; names such as LABEL_0 say nothing."""
    by_id = read_object(files, "config.json").get("id2label")
    if not isinstance(by_id, dict) or {str(number) for number in range(len(by_id))} != set(by_id):
        return []
    labels = [by_id[str(number)] for number in range(len(by_id))]
    is_named = all(isinstance(label, str) and label for label in labels)
    return labels if is_named and not all(label.startswith("LABEL_") for label in labels) else []


def read_picture_fields(files: Files) -> dict[str, Any]:
    """How `preprocessor_config.json` turns pictures into inputs, as far as it states it.

    What it leaves out depends on the class that reads it, and so do steps with `crop_pct` or an offset.
    """
    said = read_object(files, "preprocessor_config.json")
    if "crop_pct" in said or said.get("rescale_offset") is True:
        return {}
    return {**_geometry(said), **_scaling(said)}


def _geometry(said: Mapping[str, Any]) -> dict[str, Any]:
    size, crop = said.get("size"), said.get("crop_size")
    if said.get("do_resize") is not True or not isinstance(size, dict):
        return {}
    if said.get("do_center_crop") is True:
        found = _centre_crop(size, {"height": crop, "width": crop} if type(crop) is int else crop)
    else:
        found = {"resize": "stretch", **size} if _has_sizes(size, "height", "width") else {}
    resampler = said.get("resample")
    if found and type(resampler) is int and resampler in _RESAMPLERS:
        found["resampler"] = _RESAMPLERS[resampler]
    return found


def _centre_crop(size: Mapping[str, Any], crop: Any) -> dict[str, Any]:
    if not _has_sizes(size, "shortest_edge") or not _has_sizes(crop, "height", "width"):
        return {}
    if size["shortest_edge"] < max(crop.values()):
        return {}  # with a border, which only some classes add
    return {
        "resize": "shorter_side",
        "shorter_side": size["shortest_edge"],
        "rounding": str(Rounding.TRANSFORMERS),
        **crop,
    }


def _has_sizes(value: Any, *names: str) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == set(names)
        and all(type(size) is int for size in value.values())
    )


def _scaling(said: Mapping[str, Any]) -> dict[str, Any]:
    if said.get("do_normalize") is False:
        found: dict[str, Any] = {"mean": [0, 0, 0], "std": [1, 1, 1]}
    elif said.get("do_normalize") is True and "image_mean" in said and "image_std" in said:
        found = {"mean": said["image_mean"], "std": said["image_std"]}
    else:
        return {}
    rescale, factor = said.get("do_rescale"), said.get("rescale_factor")
    if rescale is False:
        return {"scale": "none", **found}
    is_usual = isinstance(factor, float) and abs(factor * 255 - 1) < 1e-6
    return {"scale": "1/255", **found} if rescale is True and is_usual else {}
