"""Converts what scikit-learn, XGBoost and LightGBM save: skops, pickles, joblib files, and the libraries' own text and JSON."""

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from inference.convert.programs.base import CONVERTED, Job, Program, Refused, run_program

OPSET, TREES_OPSET = 18, 3  # of ONNX, and of its operators for trees, which onnxmltools knows up to this one
INPUT, LABEL, PROBABILITIES, SCORES, PREDICTION = "input", "label", "probabilities", "scores", "prediction"
_MAX_COLUMNS = 2_000
_WORDS = r"(?u)\b\w\w+\b"  # scikit-learn's default
_TYPES = {"float": "FloatTensorType", "int64": "Int64TensorType", "string": "StringTensorType"}
# What skops does not trust by itself, but which only holds numbers of a fitted model; it loads without running anything.
_TRUSTED = frozenset((
    "collections.OrderedDict",
    "lightgbm.basic.Booster", "lightgbm.sklearn.LGBMClassifier", "lightgbm.sklearn.LGBMRegressor",
    "numpy.dtype",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier", "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.feature_selection._univariate_selection.f_regression",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    "sklearn.gaussian_process.kernels.ConstantKernel", "sklearn.gaussian_process.kernels.Product",
    "sklearn.gaussian_process.kernels.RBF",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._ball_tree.BallTree", "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "xgboost.core.Booster", "xgboost.sklearn.XGBClassifier", "xgboost.sklearn.XGBRegressor",
))  # fmt: skip


def main() -> None:
    run_program(Program(load_packages=_load_packages, convert=_convert, run=_run))


def _load_packages(format: str) -> None:
    import sklearn

    if format in {"xgboost", "skops", "pickle"}:
        import xgboost

        del xgboost
    if format in {"lightgbm", "skops", "pickle"}:
        import lightgbm

        del lightgbm
    if format == "skops":
        import skops.io

        del skops
    import onnxmltools
    import skl2onnx

    del sklearn, onnxmltools, skl2onnx
    warnings.simplefilter("ignore")


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A fitted model with the interface of scikit-learn; the library that made it; what people should know about it."""

    model: Any
    library: str
    notes: tuple[str, ...] = ()


def _convert(job: Job) -> dict[str, Any]:
    import onnx

    loaded = _load(job)
    inputs = _inputs(loaded.model, job.options)
    outputs = _output_names(loaded.model)
    model = _to_onnx(loaded.model, inputs)
    _rename_outputs(model, outputs)
    onnx.save(model, CONVERTED)
    return {
        "converter": f"skl2onnx {_version('skl2onnx')}, onnxmltools {_version('onnxmltools')}",
        "runtime": f"{loaded.library} {_version(loaded.library)}",
        "onnx": onnx.__version__,
        "opset": OPSET,
        "flags": {"zipmap": False, "ai.onnx.ml": TREES_OPSET},
        "model": _describe(loaded.model),
        "notes": list(loaded.notes),
        "inputs": [
            {"name": one.name, "type": one.type, "shape": [None] if one.is_text else [None, one.width]}
            for one in inputs
        ],
        "outputs": outputs,
    }


def _run(job: Job, sets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    loaded = _load(job)
    inputs = _inputs(loaded.model, job.options)
    return [_answer(loaded.model, _gather(inputs, given)) for given in sets]


# Loading


def _load(job: Job) -> _Loaded:
    loaders: dict[str, Callable[[Job], _Loaded]] = {
        "skops": _load_skops,
        "xgboost": _load_xgboost,
        "lightgbm": _load_lightgbm,
        "pickle": _load_pickle,
    }
    loaded = loaders[job.format](job)
    _check_is_model(loaded.model)
    return loaded


def _load_skops(job: Job) -> _Loaded:
    import skops.io

    try:
        found = skops.io.get_untrusted_types(file=job.source)
        unknown = sorted(set(found) - _TRUSTED)
        if unknown:
            raise Refused(
                f"The file holds {_quoted(unknown)}, which only its author's program can load. Save a model of the classes of"
                " scikit-learn, XGBoost and LightGBM alone."
            )
        return _as_loaded(skops.io.load(job.source, trusted=found))
    except Refused:
        raise
    except Exception as error:  # noqa: BLE001  a file decides what is raised
        raise Refused(f"This skops file cannot be read: {_short(error)}") from None


def _load_pickle(job: Job) -> _Loaded:
    import joblib
    from sklearn.exceptions import InconsistentVersionWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InconsistentVersionWarning)
        try:
            model = joblib.load(job.source)
        except ModuleNotFoundError as error:
            raise Refused(
                f"The pickle needs the package “{error.name}”, which the converter does not have. Save a model of the classes"
                " of scikit-learn, XGBoost and LightGBM alone."
            ) from None
        except AttributeError as error:
            raise Refused(
                f"The pickle needs a class or function that the converter does not have: {_short(error)}. Save a model of the"
                " classes of scikit-learn, XGBoost and LightGBM alone."
            ) from None
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  a file decides what is raised
            raise Refused(
                f"This pickle cannot be loaded: {_short(error)}. It may have been saved by another version than"
                f" scikit-learn {_version('scikit-learn')}, which the converter has; save it with that one, or as skops."
            ) from None
    saved = {str(one.message.original_sklearn_version) for one in caught
             if isinstance(one.message, InconsistentVersionWarning)}  # fmt: skip
    notes = [
        f"Saved by scikit-learn {one}, loaded by {_version('scikit-learn')}; parity compares with the latter."
        for one in sorted(saved)
    ]
    return _as_loaded(model, notes)


def _as_loaded(model: Any, notes: Sequence[str] = ()) -> _Loaded:
    """Wrap bare boosters, and name the library."""
    module = type(model).__module__.partition(".")[0]
    if module == "xgboost" and type(model).__name__ == "Booster":
        return _wrap_xgboost(model)
    if module == "lightgbm" and type(model).__name__ == "Booster":
        return _wrap_lightgbm(model)
    return _Loaded(
        model, {"xgboost": "xgboost-cpu", "lightgbm": "lightgbm"}.get(module, "scikit-learn"), tuple(notes)
    )


def _check_is_model(model: Any) -> None:
    from sklearn.base import is_classifier, is_regressor
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    if not hasattr(model, "predict") or not (is_classifier(model) or is_regressor(model)):
        raise Refused(
            f"The file holds a {type(model).__name__}, which is neither a classifier nor a regressor. Save a model that is, or a"
            " Pipeline that ends in one."
        )
    try:
        check_is_fitted(model)
    except NotFittedError:
        raise Refused(f"The {type(model).__name__} is not fitted. Fit it before you save it.") from None
    if is_classifier(model) and not hasattr(getattr(model, "classes_", None), "dtype"):
        raise Refused("The classifier answers several questions at once. Save one classifier for each.")


# XGBoost


# Objective: whether it is a classifier's. Those whose converted files agree; others are refused.
_XGBOOST_OBJECTIVES = {
    "binary:logistic": True, "multi:softprob": True, "multi:softmax": True,
    "reg:squarederror": False, "reg:absoluteerror": False, "reg:pseudohubererror": False,
    "reg:squaredlogerror": False, "count:poisson": False, "reg:gamma": False, "reg:tweedie": False,
    "rank:pairwise": False, "rank:ndcg": False, "rank:map": False,
}  # fmt: skip


def _load_xgboost(job: Job) -> _Loaded:
    import xgboost

    booster = xgboost.Booster()
    try:
        booster.load_model(bytearray(job.source.read_bytes()))
    except (xgboost.core.XGBoostError, ValueError, TypeError) as error:
        raise Refused(
            f"XGBoost cannot read this file: {_short(error)}. Save the model with save_model(“model.json”) or"
            " save_model(“model.ubj”)."
        ) from None
    return _wrap_xgboost(booster)


def _wrap_xgboost(booster: Any) -> _Loaded:
    """A bare booster as the classifier or regressor that its objective says, with the trees that XGBoost would use."""
    import xgboost

    learner = json.loads(booster.save_config())["learner"]
    objective = learner["objective"]["name"]
    _check_xgboost(booster, objective)
    classes = int(learner["learner_model_param"]["num_class"])
    kind = xgboost.XGBClassifier if _XGBOOST_OBJECTIVES[objective] else xgboost.XGBRegressor
    model = kind(objective=objective)
    booster, notes = _up_to_best_iteration(booster)
    model._Booster = booster
    if kind is xgboost.XGBClassifier:
        model.n_classes_ = max(classes, 2)
    return _Loaded(model, "xgboost-cpu", notes)


def _check_xgboost(booster: Any, objective: str) -> None:
    learner = json.loads(booster.save_config())["learner"]
    kind = learner["gradient_booster"]["name"]
    if objective not in _XGBOOST_OBJECTIVES:
        raise Refused(
            f"XGBoost's objective “{objective}” has no faithful form in ONNX. Those that have: {', '.join(_XGBOOST_OBJECTIVES)}."
        )
    if kind != "gbtree":
        raise Refused(f"XGBoost's booster “{kind}” has no faithful form in ONNX. Train with “gbtree”.")
    if "c" in (booster.feature_types or ()):
        raise Refused(
            "XGBoost's own categories have no faithful form in ONNX. Encode them as numbers before training."
        )
    if int(learner["learner_model_param"].get("num_target", 1)) > 1:
        raise Refused("The model predicts several targets at once. Save one for each.")


def _up_to_best_iteration(booster: Any) -> tuple[Any, tuple[str, ...]]:
    best = booster.attr("best_iteration")
    if best is None or int(best) + 1 >= booster.num_boosted_rounds():
        return booster, ()
    sliced = booster[: int(best) + 1]
    sliced.set_attr(best_iteration=None)
    return sliced, (
        f"Of {booster.num_boosted_rounds():,} rounds, the {int(best) + 1:,} up to the best one are used, as XGBoost's own"
        " predict() does.",
    )


# LightGBM

_LIGHTGBM_OBJECTIVES = (
    "binary", "multiclass", "regression", "regression_l1", "huber", "quantile", "poisson", "gamma", "tweedie", "lambdarank",
)  # fmt: skip


def _load_lightgbm(job: Job) -> _Loaded:
    import lightgbm

    try:
        text = job.source.read_text()
        if not text.startswith("tree"):
            raise ValueError("it does not begin with “tree”")
        booster = lightgbm.Booster(model_str=text)
    except (lightgbm.basic.LightGBMError, ValueError) as error:
        raise Refused(
            f"LightGBM cannot read this file: {_short(error)}. Save the model with booster.save_model(“model.txt”)."
        ) from None
    return _wrap_lightgbm(booster)


def _wrap_lightgbm(booster: Any) -> _Loaded:
    import lightgbm
    import numpy as np

    dumped = booster.dump_model(num_iteration=1)
    objective = _check_lightgbm(dumped)
    is_classifier = objective in {"binary", "multiclass"}
    model = (lightgbm.LGBMClassifier if is_classifier else lightgbm.LGBMRegressor)(objective=objective)
    model._Booster, model.fitted_ = booster, True
    model._n_features = model._n_features_in = booster.num_feature()
    model._best_iteration, model._objective = None, objective
    if is_classifier:
        model._n_classes = max(dumped["num_class"], 2)
        model._classes = np.arange(model._n_classes)
        model._le = _Labels(model._classes)
    return _Loaded(
        model, "lightgbm", ("A file saved after early stopping holds the rounds up to the best one only.",)
    )


class _Labels:
    """Numbers of classes are the labels: a text file knows no others."""

    def __init__(self, classes: Any) -> None:
        self.classes_ = classes

    def inverse_transform(self, numbers: Any) -> Any:
        return self.classes_[numbers]


def _check_lightgbm(dumped: dict[str, Any]) -> str:
    name, *settings = str(dumped.get("objective") or "none").split()
    if name not in _LIGHTGBM_OBJECTIVES:
        raise Refused(
            f"LightGBM's objective is “{name}”, and the file does not say how its scores become answers. Train with one of"
            f" {', '.join(_LIGHTGBM_OBJECTIVES)}."
        )
    unusual = [one for one in settings if one not in {"sigmoid:1"} and not one.startswith("num_class:")]
    if unusual:
        raise Refused(
            f"LightGBM's objective has settings that ONNX cannot follow ({' '.join(unusual)}). Train without them."
        )
    if dumped.get("average_output"):
        raise Refused("LightGBM's boosting “rf” has no faithful form in ONNX. Train with “gbdt”.")
    return name


# What goes in


@dataclass(frozen=True, slots=True)
class _TableInput:
    """A matrix of all features, or a column of a table."""

    name: str
    type: str
    width: int
    is_column: bool = False
    is_text: bool = False


def _inputs(model: Any, options: dict[str, Any]) -> list[_TableInput]:
    first = _first_step(model)
    if type(first).__name__ == "ColumnTransformer" and hasattr(first, "feature_names_in_"):
        return _columns(first, options)
    if hasattr(first, "vocabulary_") or type(first).__name__ == "HashingVectorizer":
        return [_TableInput(INPUT, "string", 1, is_text=True)]
    width = getattr(model, "n_features_in_", None) or getattr(first, "n_features_in_", None)
    if width is None:
        raise Refused(
            "The model does not say how many features it takes. Fit it again with a newer scikit-learn."
        )
    kinds = {_type_of_categories(one) for one in getattr(first, "categories_", ())} or {"float"}
    if len(kinds) > 1 or (type(first).__name__ == "ColumnTransformer" and _has_strings(first)):
        raise Refused(
            "The model takes texts and numbers in one table without names. Fit it with a DataFrame, so that each column"
            " becomes an input by its name."
        )
    return [_TableInput(INPUT, kinds.pop(), int(width))]


def _first_step(model: Any) -> Any:
    while type(model).__name__ == "Pipeline":
        steps = [step for _, step in model.steps if step is not None and step != "passthrough"]
        if not steps:
            break
        model = steps[0]
    return model


def _columns(transformer: Any, options: dict[str, Any]) -> list[_TableInput]:
    """An input for each column that is used, in the order of the table."""
    names = [str(name) for name in transformer.feature_names_in_]
    if len(names) > _MAX_COLUMNS:
        raise Refused(f"The model takes {len(names):,} columns; at most {_MAX_COLUMNS:,} can be inputs.")
    stated = _stated_types(options)
    types: dict[str, str] = {}
    for _, step, columns in transformer.transformers_:
        if not isinstance(step, str) or step == "passthrough":
            used = _column_names(names, columns)
            types |= dict(zip(used, _types_of(step, len(used)), strict=True))
    unknown = sorted(set(stated) - set(types)) + [kind for kind in stated.values() if kind not in _TYPES]
    if unknown:
        raise Refused(
            f"“types” may name columns of the model, each as one of {', '.join(_TYPES)}; not {_quoted(unknown)}."
        )
    return [
        _TableInput(name, stated.get(name, types[name]), 1, is_column=True) for name in names if name in types
    ]


def _stated_types(options: dict[str, Any]) -> dict[str, str]:
    """By column: a mapping, or as people write it, `city=string,age=float`."""
    stated = options.get("types") or {}
    if isinstance(stated, dict):
        return stated
    pairs = [one.rpartition("=") for one in str(stated).split(",") if one.strip()]
    return {name.strip(): kind.strip() for name, _, kind in pairs}


def _column_names(names: Sequence[str], columns: Any) -> list[str]:
    import numpy as np

    if isinstance(columns, str):
        return [columns]
    if isinstance(columns, slice):
        return list(names[columns])
    chosen = np.asarray(columns)
    if chosen.dtype == bool:
        return [name for name, is_used in zip(names, chosen, strict=True) if is_used]
    return [str(one) if isinstance(one, str) else names[int(one)] for one in chosen.tolist()]


def _has_strings(transformer: Any) -> bool:
    return any(
        "string" in _types_of(step, 1)
        for _, step, _ in transformer.transformers_
        if not isinstance(step, str)
    )


def _types_of(step: Any, count: int) -> list[str]:
    """By the first step that learned from the column: encoders and vectorizers know texts."""
    steps = [one for _, one in step.steps] if type(step).__name__ == "Pipeline" else [step]
    for one in steps:
        if hasattr(one, "categories_"):
            kinds = [_type_of_categories(categories) for categories in one.categories_]
            return kinds if len(kinds) == count else kinds[:1] * count
        if hasattr(one, "vocabulary_"):
            return ["string"] * count
        statistics = getattr(one, "statistics_", None)
        if statistics is not None and statistics.dtype.kind in "OU":
            return ["string"] * count
    return ["float"] * count


def _type_of_categories(categories: Any) -> str:
    if categories.dtype.kind in "OUT":
        return "string"
    return "int64" if categories.dtype.kind in "iu" else "float"


def _gather(inputs: Sequence[_TableInput], given: dict[str, Any]) -> Any:
    """What the model's own predict() takes."""
    if inputs[0].is_column:
        import pandas as pd

        return pd.DataFrame({
            one.name: pd.Series(given[one.name].ravel(), dtype=object) if one.type == "string" else given[one.name].ravel()
            for one in inputs
        })  # fmt: skip
    found = given[inputs[0].name]
    if inputs[0].type == "string":
        found = found.astype(object)
    return found.ravel() if inputs[0].is_text else found


# What comes out


def _output_names(model: Any) -> list[str]:
    from sklearn.base import is_classifier

    if not is_classifier(model):
        return [PREDICTION]
    return [LABEL, PROBABILITIES if hasattr(model, "predict_proba") else SCORES]


def _answer(model: Any, rows: Any) -> dict[str, Any]:
    import numpy as np

    names = _output_names(model)
    if names == [PREDICTION]:
        found = np.asarray(model.predict(rows), np.float32)
        return {PREDICTION: found.reshape(len(found), -1)}
    if names[1] == PROBABILITIES:
        scores = np.asarray(model.predict_proba(rows))
    else:
        scores = np.asarray(model.decision_function(rows))
        if scores.ndim == 1:  # of the second class only
            scores = np.stack([-scores, scores], axis=1)
    return {LABEL: _plain_labels(model.predict(rows)), names[1]: scores.astype(np.float32)}


def _plain_labels(labels: Any) -> Any:
    import numpy as np

    labels = np.asarray(labels)
    return labels.astype(np.int64) if labels.dtype.kind in "iubf" else labels.astype(str)


# Converting


def _to_onnx(model: Any, inputs: Sequence[_TableInput]) -> Any:
    from skl2onnx import convert_sklearn
    from skl2onnx.common import _container, data_types, exceptions

    _register_trees(model)
    _container.make_node = _make_plain_node
    types = [
        (one.name, getattr(data_types, _TYPES[one.type])([None] if one.is_text else [None, one.width]))
        for one in inputs
    ]
    settings: dict[int, dict[str, Any]] = {
        id(step): _word_settings(step) for step in _steps(model) if hasattr(step, "token_pattern")
    }
    if PROBABILITIES in _output_names(model):
        settings[id(model)] = {"zipmap": False}
    try:
        return convert_sklearn(
            model,
            "model",
            types,
            target_opset={"": OPSET, "ai.onnx.ml": TREES_OPSET},
            options=settings,
        )
    except (exceptions.MissingConverter, exceptions.MissingShapeCalculator) as error:
        name = str(error).partition("'")[2].partition("'")[0].rpartition(".")[2]
        raise Refused(
            f"skl2onnx has no converter for “{name or 'a step of this model'}”. Replace that step, or do its work before the"
            " model is called."
        ) from None
    except (RuntimeError, NotImplementedError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise Refused(f"skl2onnx cannot convert this {type(model).__name__}: {_short(error)}") from None


def _make_plain_node(*arguments: Any, **attributes: Any) -> Any:
    """Make a node whose lists hold plain numbers; skl2onnx leaves numpy's and booleans in HistGradientBoosting, and fails."""
    from onnx.helper import make_node

    plain: dict[str, Any] = {
        name: [_plain_number(one) for one in value] if isinstance(value, list) else value
        for name, value in attributes.items()
    }
    return make_node(*arguments, **plain)


def _plain_number(value: Any) -> Any:
    import numpy as np

    if isinstance(value, bool | np.bool_):
        return int(value)
    return value.item() if isinstance(value, np.generic) else value


def _steps(model: Any) -> Iterator[Any]:
    """The model, and all that it is made of."""
    yield model
    parts = [
        part[1]
        for name in ("steps", "transformers_", "transformer_list")
        for part in getattr(model, name, ())
    ]
    for part in parts:
        if not isinstance(part, str) and part is not None:
            yield from _steps(part)


def _word_settings(vectorizer: Any) -> dict[str, Any]:
    """The locale that every machine has; and words of all alphabets, which skl2onnx divides at letters that are not ASCII."""
    settings = {"locale": "C.UTF-8"}
    if vectorizer.analyzer == "word" and vectorizer.token_pattern == _WORDS:
        settings["tokenexp"] = r"[\p{L}\p{N}_][\p{L}\p{N}_]+"
    return settings


def _register_trees(model: Any) -> None:
    """Teach skl2onnx the models of XGBoost and LightGBM, as the last step of a pipeline, too."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )

    last = model.steps[-1][1] if type(model).__name__ == "Pipeline" else model
    library = type(last).__module__.partition(".")[0]
    classifiers, regressors, convert = _trees_of(library, last)
    options = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    for kind in classifiers:
        update_registered_converter(
            kind,
            f"{library}{kind.__name__}",
            calculate_linear_classifier_output_shapes,
            convert,
            options=options,
        )
    for kind in regressors:
        update_registered_converter(
            kind, f"{library}{kind.__name__}", calculate_linear_regressor_output_shapes, convert
        )


def _trees_of(library: str, last: Any) -> tuple[Sequence[Any], Sequence[Any], Any]:
    if library == "xgboost":
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
        from xgboost import XGBClassifier, XGBRegressor

        _prepare_xgboost(last)
        return [XGBClassifier], [XGBRegressor], convert_xgboost
    if library == "lightgbm":
        from lightgbm import LGBMClassifier, LGBMRanker, LGBMRegressor
        from onnxmltools.convert.lightgbm.operator_converters import LightGbm

        _check_lightgbm(last.booster_.dump_model(num_iteration=1))
        LightGbm.dump_booster_model = _dump_for_onnx(LightGbm.dump_booster_model)
        return [LGBMClassifier], [LGBMRegressor, LGBMRanker], LightGbm.convert_lightgbm
    return [], [], None


def _prepare_xgboost(model: Any) -> None:
    """Leave the converter only what it handles rightly. Raises Refused."""
    import numpy as np

    if not np.isnan(model.missing):
        raise Refused("Missing values must be NaN in ONNX. Train the model again with missing=numpy.nan.")
    booster, _ = _up_to_best_iteration(model.get_booster())
    learner = json.loads(booster.save_config())["learner"]
    objective = "custom" if callable(model.objective) else learner["objective"]["name"]
    _check_xgboost(booster, objective)
    if objective == "multi:softmax":  # the same trees, but the converter would leave out the softmax
        objective = "multi:softprob"
        booster.set_param({"objective": objective})
    booster.feature_names, booster.feature_types = None, None  # it wants f0, f1 …
    model._Booster, model.objective = booster, objective


def _dump_for_onnx(dump: Callable[..., Any]) -> Callable[..., Any]:
    """Let onnxmltools see trees that follow LightGBM's rules in float32, too. Raises Refused."""
    import numpy as np

    def dump_changed(*arguments: Any, **named: Any) -> Any:
        found, info = dump(*arguments, **named)
        for nodes in info["decision_nodes"]:
            for node in nodes:
                if "decision_type" not in node:
                    continue
                if node.get("missing_type") == "Zero":
                    raise Refused(
                        "LightGBM takes zeros for missing here, which ONNX cannot. Train without zero_as_missing."
                    )
                if node["decision_type"] != "<=":
                    raise Refused(
                        "LightGBM's own categories have no faithful form in ONNX. Encode them as numbers before training."
                    )
                exact = float(node["threshold"])
                # Rounded up, a feature that lies above the threshold would be seen below it
                rounded = np.float32(exact)
                if float(rounded) > exact:
                    rounded = np.nextafter(rounded, np.float32(-np.inf))
                node["threshold"] = float(rounded)
                if node.get("missing_type") == "None":  # a missing value is then taken for zero
                    node["default_left"] = exact >= 0
        return found, info

    return dump_changed


def _rename_outputs(model: Any, names: Sequence[str]) -> None:
    """Give the outputs our names, whatever the converters called them."""
    found = [one.name for one in model.graph.output]
    if len(found) != len(names):
        raise Refused(
            f"The converted model has {len(found)} outputs instead of {len(names)} ({', '.join(names)})."
        )
    inner = {name for node in model.graph.node for name in node.output} - set(found)
    if inner & set(names):
        for node in model.graph.node:
            for ends in (node.input, node.output):
                ends[:] = [f"{name}_inside" if name in inner & set(names) else name for name in ends]
    renamed = dict(zip(found, names, strict=True))
    for node in model.graph.node:
        for ends in (node.input, node.output):
            ends[:] = [renamed.get(name, name) for name in ends]
    for output in model.graph.output:
        output.name = renamed[output.name]


# Words


def _describe(model: Any) -> str:
    if type(model).__name__ == "Pipeline":
        return " → ".join(type(step).__name__ for _, step in model.steps)
    return type(model).__name__


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def _quoted(names: Sequence[str]) -> str:
    shown = ", ".join(f"“{name}”" for name in names[:10])
    return f"{shown} and {len(names) - 10:,} more" if len(names) > 10 else shown


def _short(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")[:300]
