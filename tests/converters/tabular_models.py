"""Writes the tabular models that the tests convert. Runs in the environment `sklearn`: FOLDER."""

import pickle
import sys
import warnings
from pathlib import Path

import joblib
import lightgbm
import numpy as np
import pandas as pd
import skops.io
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

warnings.simplefilter("ignore")
rng = np.random.default_rng(7)
numbers = rng.normal(size=(400, 5)).astype(np.float32)
three = np.digitize(numbers[:, 0] + numbers[:, 1] ** 2, [0.2, 1.2])
amount = (numbers @ np.array([1.0, -2.0, 0.5, 0.0, 3.0]) + np.sin(numbers[:, 0])).astype(np.float32)
with_gaps = np.where(rng.random(numbers.shape) < 0.2, np.nan, numbers).astype(np.float32)
table = pd.DataFrame(
    {
        "age": rng.integers(18, 90, 400).astype(np.float32),
        "city": rng.choice(["Bonn", "Köln", "Ulm"], 400),
        "unused": rng.random(400),
        "income": rng.normal(3_000, 900, 400).astype(np.float32),
    }
)
answers = np.where((table.age > 50) ^ (table.city == "Ulm"), "yes", "no")
texts = [" ".join(rng.choice(["red", "grün", "blue", "ok", "x"], 6)) for _ in range(200)]
is_red = np.array(["red" in text.split()[:2] for text in texts])


def double(values):
    return values * 2


def write_scikit_learn(folder: Path) -> None:
    logistic = make_pipeline(StandardScaler(), LogisticRegression()).fit(numbers, three)
    skops.io.dump(logistic, folder / "logistic.skops")
    forest = RandomForestClassifier(30, max_depth=8, random_state=1).fit(numbers, three)
    skops.io.dump(forest, folder / "forest.skops")
    joblib.dump(forest, folder / "forest.joblib", compress=3)
    boosting = GradientBoostingRegressor(random_state=1).fit(numbers, amount)
    (folder / "boosting.pkl").write_bytes(pickle.dumps(boosting))
    skops.io.dump(boosting, folder / "boosting.skops")
    encoder = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "income"]),
            ("words", OneHotEncoder(handle_unknown="ignore"), ["city"]),
        ]
    )
    columns = make_pipeline(encoder, LogisticRegression()).fit(table, answers)
    skops.io.dump(columns, folder / "columns.skops")
    joblib.dump(columns, folder / "columns.joblib")
    skops.io.dump(GradientBoostingClassifier(random_state=1).fit(numbers, three), folder / "gradient.skops")
    skops.io.dump(HistGradientBoostingClassifier(max_iter=20).fit(with_gaps, three), folder / "hist.skops")
    skops.io.dump(LinearSVC().fit(numbers, three), folder / "svc.skops")
    words = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, is_red)
    skops.io.dump(words, folder / "words.skops")
    own_step = make_pipeline(FunctionTransformer(double), LinearRegression()).fit(numbers, amount)
    skops.io.dump(own_step, folder / "own_step.skops")
    joblib.dump(own_step, folder / "own_step.joblib")
    skops.io.dump(IsolationForest(n_estimators=5).fit(numbers), folder / "outliers.skops")
    skops.io.dump(LogisticRegression(), folder / "unfitted.skops")


def write_trees(folder: Path) -> None:
    classifier = xgboost.XGBClassifier(n_estimators=25, max_depth=4).fit(with_gaps, three)
    classifier.save_model(folder / "xgboost.json")
    classifier.save_model(folder / "xgboost.ubj")
    joblib.dump(make_pipeline(StandardScaler(), classifier).fit(with_gaps, three), folder / "xgboost.joblib")
    for objective in (
        "binary:logistic", "multi:softmax", "reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror",
        "reg:squaredlogerror", "count:poisson", "reg:gamma", "reg:tweedie", "rank:pairwise", "rank:ndcg", "rank:map",
        "reg:logistic", "binary:logitraw",
    ):  # fmt: skip
        y = {"bin": three > 0, "mul": three, "ran": three > 0}.get(objective[:3], np.abs(amount) + 0.1)
        if objective == "reg:logistic":
            y = y / y.max()
        data = xgboost.DMatrix(with_gaps, y.astype(np.float32))
        if objective.startswith("rank"):
            data.set_group([40] * 10)
        settings = {"objective": objective} | ({"num_class": 3} if objective.startswith("multi") else {})
        xgboost.train(settings, data, 20).save_model(folder / f"xgboost {objective.replace(':', ' ')}.json")
    data, other = (
        xgboost.DMatrix(numbers[:200], amount[:200]),
        xgboost.DMatrix(numbers[200:], amount[200:] + rng.normal(size=200)),
    )
    xgboost.train(
        {"objective": "reg:squarederror"},
        data,
        200,
        [(other, "other")],
        early_stopping_rounds=10,
        verbose_eval=False,
    ).save_model(folder / "xgboost early.json")
    kinds = ["q", "c", "q", "q", "q"]
    data = xgboost.DMatrix(
        np.abs(numbers).round(),
        amount,
        feature_types=kinds,
        feature_names=list("abcde"),
        enable_categorical=True,
    )
    xgboost.train({}, data, 5).save_model(folder / "xgboost categories.json")
    xgboost.XGBRegressor(n_estimators=3).fit(numbers, numbers[:, :2]).save_model(folder / "xgboost two.json")
    data = xgboost.DMatrix(numbers, amount)
    xgboost.train({"booster": "dart"}, data, 5).save_model(folder / "xgboost dart.json")

    quiet = {"verbosity": -1, "seed": 1}
    lightgbm.train(
        {**quiet, "objective": "regression"}, lightgbm.Dataset(numbers.astype(float), amount), 60
    ).save_model(folder / "lightgbm.txt")
    for objective in (
        "binary", "multiclass", "regression_l1", "huber", "quantile", "poisson", "gamma", "tweedie", "lambdarank",
        "fair", "mape", "cross_entropy",
    ):  # fmt: skip
        y = {"bin": three > 0, "mul": three, "lam": three, "cro": three > 0}.get(
            objective[:3], np.abs(amount) + 0.1
        )
        data = lightgbm.Dataset(
            with_gaps.astype(float), y, group=[40] * 10 if objective == "lambdarank" else None
        )
        settings = {**quiet, "objective": objective} | ({"num_class": 3} if objective == "multiclass" else {})
        lightgbm.train(settings, data, 20).save_model(folder / f"lightgbm {objective}.txt")
    with_categories = numbers.copy()
    with_categories[:, 1] = rng.integers(0, 12, 400)
    data = lightgbm.Dataset(
        with_categories, amount + (with_categories[:, 1] % 3) * 5, categorical_feature=[1]
    )
    lightgbm.train({**quiet, "min_data_per_group": 5}, data, 20).save_model(
        folder / "lightgbm categories.txt"
    )
    for name, settings in {
        "alpha": {"objective": "quantile", "alpha": 0.8},
        "zeros": {"zero_as_missing": True},
        "forest": {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6},
        "sigmoid": {"objective": "binary", "sigmoid": 2.0},
        "sqrt": {"reg_sqrt": True},
    }.items():
        values = np.where(rng.random(numbers.shape) < 0.3, 0, numbers)
        data = lightgbm.Dataset(values, three > 0 if name == "sigmoid" else amount)
        lightgbm.train({**quiet, **settings}, data, 20).save_model(folder / f"lightgbm {name}.txt")
    data = lightgbm.Dataset(numbers, amount)
    lightgbm.train({**quiet, "objective": lambda found, data: (found, found * 0 + 1)}, data, 3).save_model(
        folder / "lightgbm custom.txt"
    )
    joblib.dump(
        make_pipeline(StandardScaler(), lightgbm.LGBMClassifier(n_estimators=10, verbose=-1)).fit(
            numbers, three
        ),
        folder / "lightgbm.joblib",
    )


if __name__ == "__main__":
    write_scikit_learn(Path(sys.argv[1]))
    write_trees(Path(sys.argv[1]))
