"""Logs models on an MLflow server, as its documentation tells. Runs in the environment of mlflow.txt, not in ours.

Arguments: the server's URL, an ONNX file.
"""

import json
import sys

import mlflow
import numpy as np
import onnx
import pandas
from mlflow import MlflowClient
from onnx import TensorProto, helper, numpy_helper


class Echo(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input):
        return model_input


def log_demand(path):
    with mlflow.start_run(run_name="nightly") as run:
        mlflow.log_metric("rmse", 1.5)
        mlflow.log_metric("diverged", float("nan"))
        mlflow.set_tag("team", "supply")
        mlflow.set_tag("mlflow.source.git.commit", "4f2c1e9" + "0" * 33)
        rows = pandas.DataFrame({"hour": [1.0, 2.0]})
        data = mlflow.data.from_pandas(rows, name="sales-2026", source="s3://bucket/sales.parquet")
        mlflow.log_input(data, context="training")
        mlflow.onnx.log_model(onnx.load(path), name="model", registered_model_name="Hourly demand")
    MlflowClient().set_registered_model_alias("Hourly demand", "champion", "1")
    return run.info


def log_with_weights_beside():
    weights = numpy_helper.from_array(np.eye(64, dtype=np.float32), "w")
    rows = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 64]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g", rows[:1], rows[1:], [weights]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    with mlflow.start_run():
        mlflow.onnx.log_model(
            model, name="model", registered_model_name="identity", save_as_external_data=True
        )


def log_other_flavour():
    with mlflow.start_run():
        mlflow.pyfunc.log_model(python_model=Echo(), name="model", registered_model_name="echo")


if __name__ == "__main__":
    url, path = sys.argv[1:]
    mlflow.set_tracking_uri(url)
    mlflow.set_experiment("demand")
    info = log_demand(path)
    log_with_weights_beside()
    log_other_flavour()
    print(json.dumps({"run": info.run_id, "experiment": info.experiment_id}))
