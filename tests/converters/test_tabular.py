"""Tabular models: converted, equal to the answers of the library that made them, and refused where they cannot be."""

import numpy as np
import pytest

from inference.convert.converting import Conversion, SourceFile
from tests.converters.conftest import make_models, refusal_of
from tests.converters.packages import package_file
from tests.converters.parity import check_parity, relative_difference, top_1_agreement

BATCHES = (1, 2, 7, 301)
FORMATS = {
    ".skops": "skops", ".json": "xgboost", ".ubj": "xgboost", ".txt": "lightgbm", ".pkl": "pickle", ".joblib": "pickle",
}  # fmt: skip


def numbers(count, *, gaps=0.0):
    rng = np.random.default_rng(count)
    found = rng.normal(size=(count, 5))
    return {"input": np.where(rng.random(found.shape) < gaps, np.nan, found).astype(np.float32)}


def gaps(count):
    return numbers(count, gaps=0.2)


def rows(count):
    rng = np.random.default_rng(count)
    return {
        "age": rng.integers(18, 90, (count, 1)).astype(np.float32),
        "city": rng.choice(["Bonn", "Köln", "Ulm", "Paris"], (count, 1)),
        "income": rng.normal(3_000, 900, (count, 1)).astype(np.float32),
    }


def texts(count):
    rng = np.random.default_rng(count)
    return {
        "input": np.array([" ".join(rng.choice(["red", "grün", "blue", "ok", "x"], 6)) for _ in range(count)])
    }


# File: inputs.
MODELS = {
    "logistic.skops": numbers, "forest.skops": numbers, "gradient.skops": numbers, "boosting.skops": numbers,
    "columns.skops": rows, "xgboost.json": gaps, "lightgbm.txt": gaps,
    # the same in other formats, and other kinds of models
    "forest.joblib": numbers, "boosting.pkl": numbers, "columns.joblib": rows, "xgboost.ubj": gaps,
    "hist.skops": gaps, "svc.skops": numbers, "words.skops": texts,
    "xgboost.joblib": gaps, "lightgbm.joblib": numbers, "xgboost early.json": numbers,
}  # fmt: skip
XGBOOST = (
    "binary logistic", "multi softmax", "reg squarederror", "reg absoluteerror", "reg pseudohubererror",
    "reg squaredlogerror", "count poisson", "reg gamma", "reg tweedie", "rank pairwise", "rank ndcg", "rank map",
)  # fmt: skip
LIGHTGBM = (
    "alpha",
    "binary", "multiclass", "regression_l1", "huber", "quantile", "poisson", "gamma", "tweedie", "lambdarank",
)  # fmt: skip
MODELS |= {f"xgboost {name}.json": gaps for name in XGBOOST} | {
    f"lightgbm {name}.txt": gaps for name in LIGHTGBM
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tabular")
    make_models("sklearn", "tabular_models.py", path)
    return path


@pytest.fixture
def source(folder):
    def make(name, **options):
        return SourceFile(folder / name, FORMATS["." + name.rpartition(".")[2]], options)

    return make


@pytest.mark.parametrize("name", MODELS)
def test_the_onnx_file_answers_like_its_library(source, parities, name):
    inputs = [MODELS[name](count) for count in BATCHES]

    check_parity(source(name), inputs, parities, name=name)


def test_alt_profanity_check_of_its_package(parities, tmp_path):
    """A joblib file of scikit-learn; the vectorizer that the package keeps beside it is no model."""
    model = package_file("alt-profanity-check", "profanity_check/data/model.joblib", tmp_path)
    words = package_file("alt-profanity-check", "profanity_check/data/vectorizer.joblib", tmp_path)
    rng = np.random.default_rng(1)
    inputs = []
    for count in BATCHES:
        found = np.zeros((count, 15_442), np.float32)
        found[np.arange(count)[:, None], rng.integers(0, 15_442, (count, 12))] = rng.random((count, 12))
        inputs.append({"input": found})

    facts = check_parity(SourceFile(model, "pickle"), inputs, parities, name="alt-profanity-check")
    code, message = refusal_of(SourceFile(words, "pickle"))

    assert facts["model"] == "CalibratedClassifierCV"
    assert (code, "TfidfVectorizer, which is neither a classifier nor a regressor" in message) == (
        "refused",
        True,
    )


def test_missing_values_matter(source):
    """Negative control of the table: without gaps the answers of these trees are others."""
    from inference.convert.converting import run_source

    filled = {"input": np.nan_to_num(gaps(301)["input"], nan=9.0)}
    with_gaps, without = run_source(source("xgboost.json"), [gaps(301), filled])

    assert relative_difference([with_gaps["probabilities"]], [without["probabilities"]]) > 0.1


def test_the_measures_see_differences():
    """Negative control."""
    assert relative_difference([np.array([0.0, 1.0])], [np.array([0.0, 1.1])]) == pytest.approx(0.1 / 1.1)
    assert top_1_agreement([np.array(["a", "b"])], [np.array(["a", "c"])]) == 0.5
    assert top_1_agreement([np.eye(2)], [np.ones((2, 2))]) == 0.5


class TestFacts:
    def test_a_table_has_an_input_for_each_column_that_is_used(self, source):
        with Conversion(source("columns.skops")) as converted:
            facts = converted.facts

        assert [(one["name"], one["type"]) for one in facts["inputs"]] == [
            ("age", "float"), ("city", "string"), ("income", "float"),
        ]  # fmt: skip
        assert facts["outputs"] == ["label", "probabilities"]
        assert facts["model"] == "ColumnTransformer → LogisticRegression"

    def test_versions_and_flags_are_named(self, source):
        with Conversion(source("xgboost.json")) as converted:
            facts = converted.facts

        assert facts["runtime"].startswith("xgboost-cpu 3.") and "onnxmltools 1." in facts["converter"]
        assert (facts["opset"], facts["flags"]) == (18, {"zipmap": False, "ai.onnx.ml": 3})

    def test_trees_after_the_best_iteration_are_left_out_and_this_is_said(self, source):
        with Conversion(source("xgboost early.json")) as converted:
            (note,) = converted.facts["notes"]

        assert "up to the best one are used" in note

    def test_regressors_give_one_number(self, source):
        with Conversion(source("lightgbm.txt")) as converted:
            assert converted.facts["outputs"] == ["prediction"]


# What the refusal says.
REFUSALS = {
    "own_step.skops": "“__main__.double”, which only its author's program can load",
    "own_step.joblib": "needs a class or function that the converter does not have",
    "outliers.skops": "neither a classifier nor a regressor",
    "unfitted.skops": "is not fitted",
    "xgboost dart.json": "“dart” has no faithful form",
    "xgboost categories.json": "Encode them as numbers",
    "xgboost two.json": "several targets at once",
    "xgboost reg logistic.json": "“reg:logistic” has no faithful form",
    "xgboost binary logitraw.json": "“binary:logitraw” has no faithful form",
    "lightgbm categories.txt": "Encode them as numbers",
    "lightgbm zeros.txt": "Train without zero_as_missing",
    "lightgbm forest.txt": "boosting “rf” has no faithful form",
    "lightgbm sigmoid.txt": "(sigmoid:2)",
    "lightgbm sqrt.txt": "(sqrt)",
    "lightgbm custom.txt": "objective is “none”",
    "lightgbm fair.txt": "objective is “fair”",
    "lightgbm mape.txt": "objective is “mape”",
    "lightgbm cross_entropy.txt": "objective is “cross_entropy”",
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_converted_is_refused_with_the_reason(source, name):
    code, message = refusal_of(source(name))

    assert (code, REFUSALS[name] in message) == ("refused", True), message


@pytest.mark.parametrize("format", ["skops", "xgboost", "lightgbm", "pickle"])
@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"tree\n", b"PK\x03\x04", b"\x80\x04."],
    ids=["empty", "json", "tree", "zip", "pickle"],
)
def test_other_files_are_refused(tmp_path, format, content):
    path = tmp_path / "model"
    path.write_bytes(content)

    code, message = refusal_of(SourceFile(path, format))

    assert code == "refused", message
