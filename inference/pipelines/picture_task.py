"""What all tasks of pictures share: how pictures are sent, and how they become a model's inputs."""

import base64
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Generic, TypeVar

import numpy as np
from PIL import Image

from inference.pipelines.pictures import MAX_BYTES, MAX_PICTURES, Picture, PictureInputs
from inference.pipelines.pipeline import Config, Files, ItemPipeline, RowGroup, item_list
from inference.tensors.arrays import Tensors
from inference.tensors.samples import EMPTY_SAMPLE, Sample
from inference.tensors.signature import Signature, TensorSpec

C = TypeVar("C")

# Stands for the signature of a version whose file has not been read.
ANY_PICTURES = Signature((TensorSpec("pictures", "FP32", (), any_rank=True),), ())
_SAMPLES = 12


def for_any_pictures(config: Config) -> Config:
    """A configuration as it may be read for `ANY_PICTURES`, whose shape does not tell the layout."""
    return {"layout": "nchw", **config}


class PictureTask(ItemPipeline[C], Generic[C]):
    """A task whose items are pictures: files as bytes or as base64 text, pixels as arrays, or URLs."""

    one, several, address = "image", "images", "image_url"
    other_items = (
        TensorSpec("image_url", "BYTES", (None,)),
        TensorSpec("image", "UINT8", (None, None, None, 3)),
    )
    most_items, most_item_bytes = MAX_PICTURES, MAX_BYTES
    reads_files = True

    def __init__(self, config: Config, files: Files, signature: Signature, pictures: PictureInputs) -> None:
        super().__init__(config, files, signature)
        self.pictures, self.most_items = pictures, pictures.max_pictures
        self.most_item_bytes, self.row_bytes = pictures.limits.max_bytes, pictures.row_bytes
        self.run_bytes = pictures.row_bytes * pictures.input.dtype.itemsize

    @staticmethod
    def items_with(*outputs: TensorSpec, json_outputs: frozenset[str] = frozenset()) -> Signature:
        """The signature of pictures as tensors, with these outputs."""
        image = TensorSpec("image", "BYTES", (None,))
        return Signature((image,), outputs, json_outputs, binary_inputs=frozenset({"image"}))

    @classmethod
    def example_of(
        cls, config: Config, files: Files, signature: Signature, sample: Sample = EMPTY_SAMPLE
    ) -> dict[str, Any]:
        return {"image": _sample_picture(0)}

    def samples(self) -> dict[str, Any]:
        return {"images": [_sample_picture(number) for number in range(_SAMPLES)]}

    def read_pictures(self, body: Mapping[str, Any]) -> tuple[RowGroup, list[Picture]]:
        """The pictures of a request as rows, and what is known about each."""
        rows, pictures = self.pictures.encode(
            self._items(body), field="image" if "image" in body else "images"
        )
        return RowGroup(rows, range(len(pictures))), pictures

    def _items(self, body: Mapping[str, Any]) -> list[Any]:
        return item_list(body, "image", "images", most=self.most_items)

    def prepare(self, tensors: Tensors) -> Tensors:
        return self.pictures.prepare(tensors)

    def body_of(self, tensors: Tensors) -> dict[str, Any]:
        if "image_url" in tensors:
            return {"image_urls": tensors["image_url"].tolist()}
        pictures = tensors["image"]
        return {"images": pictures.tolist() if pictures.dtype == object else list(pictures)}


def _sample_picture(number: int) -> str:
    """A small picture in base64: a gradient with a bright and a dark patch, which differ from one to the next."""
    width, height = 48 + 8 * (number % 4), 64 - 8 * (number % 3)
    down, across = np.mgrid[0:height, 0:width]
    slope = (across + down + 20 * number) % 256
    pixels = np.stack([across * 255 // width, down * 255 // height, slope], axis=-1).astype(np.uint8)
    at = 4 + number % 5
    pixels[at : at + 24, at : at + 24] = 250 - 20 * number
    pixels[-16:, -20:] = 20 * number
    file = BytesIO()
    Image.fromarray(np.roll(pixels, number, axis=-1)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
