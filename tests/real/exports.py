"""Exports of the usual libraries, as their documentation tells. Runs in the environment of exporters.txt, not in ours."""

import sys
import warnings
from pathlib import Path

import lightgbm
import numpy as np
import onnxmltools
import torch
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as ToolsFloats
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingClassifier, IsolationForest, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVR
from torch import nn

SPAM = [
    "win money now",
    "cheap pills online",
    "claim your prize today",
    "meet me at noon",
    "see the report",
    "lunch?",
]


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    export_sklearn(folder)
    export_boosters(folder)
    export_torch(folder)
    export_quantized(folder)


def export_sklearn(folder: Path) -> None:
    iris, wine, cancer = load_iris(), load_wine(), load_breast_cancer()
    digits, diabetes = load_digits(), load_diabetes()

    def save(name, model, x, y=None, **options):
        fitted = model.fit(x, y) if y is not None else model.fit(x)
        proto = to_onnx(fitted, x[:1].astype(np.float32), target_opset={"": 18, "ai.onnx.ml": 3}, **options)
        (folder / f"{name}.onnx").write_bytes(proto.SerializeToString())

    plain = {"options": {"zipmap": False}}
    save("sk-logistic-zipmap", LogisticRegression(max_iter=500), iris.data, iris.target)
    save("sk-logistic", LogisticRegression(max_iter=500), iris.data, iris.target, **plain)
    save("sk-forest", RandomForestClassifier(50, random_state=0), digits.data, digits.target, **plain)
    save("sk-boosting-zipmap", GradientBoostingClassifier(random_state=0), wine.data, wine.target)
    save(
        "sk-scaled",
        make_pipeline(StandardScaler(), PCA(8), LogisticRegression()),
        cancer.data,
        cancer.target,
        **plain,
    )
    save("sk-kmeans", KMeans(5, random_state=0, n_init=3), iris.data)
    save("sk-svr", SVR(), diabetes.data, diabetes.target)
    save("sk-isolation", IsolationForest(random_state=0, n_estimators=50), wine.data)
    export_text(folder)
    export_columns(folder)


def export_text(folder: Path) -> None:
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(SPAM, [1, 1, 1, 0, 0, 0])
    proto = to_onnx(
        model,
        initial_types=[("text", StringTensorType([None, 1]))],
        options={"zipmap": False},
        target_opset=18,
    )
    (folder / "sk-text.onnx").write_bytes(proto.SerializeToString())


def export_columns(folder: Path) -> None:
    rng = np.random.default_rng(0)
    cities = rng.choice(["Graz", "Wien", "Linz"], 90)
    table = np.empty((90, 3), object)
    table[:, 0], table[:, 1], table[:, 2] = cities, rng.normal(40, 9, 90), rng.normal(30, 5, 90)
    target = (cities == "Wien").astype(int)
    columns = ColumnTransformer([("city", OneHotEncoder(), [0]), ("rest", StandardScaler(), [1, 2])])
    model = make_pipeline(columns, LogisticRegression()).fit(table, target)
    types = [
        ("city", StringTensorType([None, 1])),
        ("age", FloatTensorType([None, 1])),
        ("income", FloatTensorType([None, 1])),
    ]
    proto = to_onnx(model, initial_types=types, options={"zipmap": False}, target_opset=18)
    (folder / "sk-columns.onnx").write_bytes(proto.SerializeToString())


def export_boosters(folder: Path) -> None:
    wine, diabetes = load_wine(), load_diabetes()
    wine_type = [("x", ToolsFloats([None, wine.data.shape[1]]))]
    diabetes_type = [("x", ToolsFloats([None, diabetes.data.shape[1]]))]
    few = {"n_estimators": 30, "n_jobs": 1}
    made = {
        "xgb-classifier": onnxmltools.convert_xgboost(
            xgboost.XGBClassifier(**few).fit(wine.data, wine.target), initial_types=wine_type, target_opset=15
        ),
        "xgb-regressor": onnxmltools.convert_xgboost(
            xgboost.XGBRegressor(**few).fit(diabetes.data, diabetes.target),
            initial_types=diabetes_type,
            target_opset=15,
        ),
        "lgbm-classifier-zipmap": onnxmltools.convert_lightgbm(
            lightgbm.LGBMClassifier(**few, verbose=-1).fit(wine.data, wine.target),
            initial_types=wine_type,
            target_opset=15,
        ),
        "lgbm-regressor": onnxmltools.convert_lightgbm(
            lightgbm.LGBMRegressor(**few, verbose=-1).fit(diabetes.data, diabetes.target),
            initial_types=diabetes_type,
            target_opset=15,
        ),
    }
    for name, proto in made.items():
        (folder / f"{name}.onnx").write_bytes(proto.SerializeToString())


class Cnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()
        )
        self.head = nn.Linear(32, 10)

    def forward(self, image):
        return self.head(self.features(image).mean((2, 3))).softmax(-1)


class Segmenter(nn.Module):
    """Takes pictures of any size and gives a mask of the same."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU(), nn.Conv2d(8, 2, 3, 1, 1))

    def forward(self, image):
        return self.layers(image)


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(12, 24, 2, batch_first=True)
        self.head = nn.Linear(24, 3)

    def forward(self, series):
        return self.head(self.lstm(series)[0][:, -1])


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(1000, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, dropout=0.0)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, 5)

    def forward(self, tokens, attention_mask):
        hidden = self.encoder(self.embedding(tokens), src_key_padding_mask=attention_mask == 0)
        weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return self.head((hidden * weights).sum(1) / weights.sum(1))


class Mlp(nn.Module):
    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(32, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 4)
        )

    def forward(self, x):
        return self.layers(x)


def export_torch(folder: Path) -> None:
    batch, height, width, length = (torch.export.Dim(name) for name in ("batch", "height", "width", "length"))
    picture, series = torch.rand(2, 3, 64, 64), torch.rand(2, 20, 12)
    tokens, mask = torch.randint(0, 1000, (2, 16)), torch.ones(2, 16, dtype=torch.int64)

    def save(name, model, inputs, axes, **options):
        # one picture would be taken for a fixed batch of one
        torch.onnx.export(
            model.eval(), inputs, folder / f"{name}.onnx", dynamo=True, dynamic_shapes=axes,
            input_names=list(axes), **{"external_data": False, **options},
        )  # fmt: skip

    save("torch-cnn", Cnn(), (picture,), {"image": {0: batch}})
    save("torch-free-size", Segmenter(), (picture,), {"image": {0: batch, 2: height, 3: width}})
    save("torch-lstm", Lstm(), (series,), {"series": {0: batch, 1: length}})
    save(
        "torch-encoder", Encoder(), (tokens, mask),
        {"tokens": {0: batch, 1: length}, "attention_mask": {0: batch, 1: length}},
    )  # fmt: skip
    save("torch-external", Mlp(512), (torch.rand(2, 32),), {"x": {0: batch}}, external_data=True)
    save("torch-external-cnn", Cnn(), (picture,), {"image": {0: batch}}, external_data=True)
    export_old_way(folder, picture, series)


def export_old_way(folder: Path, picture: torch.Tensor, series: torch.Tensor) -> None:
    def save(name, model, example, input_name, axes):
        torch.onnx.export(
            model.eval(), (example,), folder / f"{name}.onnx", dynamo=False, opset_version=17,
            input_names=[input_name], output_names=["scores"], dynamic_axes=axes,
        )  # fmt: skip

    save("torch-legacy-cnn", Cnn(), picture, "image", {"image": {0: "batch"}, "scores": {0: "batch"}})
    save(
        "torch-legacy-lstm",
        Lstm(),
        series,
        "series",
        {"series": {0: "batch", 1: "length"}, "scores": {0: "batch"}},
    )
    save("torch-legacy-fixed", Cnn(), picture[:1], "image", None)


class _Pictures(CalibrationDataReader):
    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._rows = iter([{"image": rng.random((1, 3, 64, 64), np.float32)} for _ in range(8)])

    def get_next(self):
        return next(self._rows, None)


def export_quantized(folder: Path) -> None:
    quantize_dynamic(
        folder / "torch-external.onnx", folder / "ort-dynamic-int8.onnx", weight_type=QuantType.QInt8
    )
    quantize_static(folder / "torch-legacy-cnn.onnx", folder / "ort-static-int8.onnx", _Pictures())


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]))
