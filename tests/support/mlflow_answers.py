"""A small MLflow server: the answers of MLflow 3.17, recorded; `make test-real` asks a real one."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

RUN, LOGGED = "f4697f00cdf74d3eb4199a591b1613ad", "m-1ff40bf8576e4f73b5a0e0ad09056f02"
FOLDER = f"1/models/{LOGGED}/artifacts"
VERSION = {
    "model_version": {
        "name": "demand",
        "version": "1",
        "creation_timestamp": 1796152443089,
        "last_updated_timestamp": 1796152443089,
        "current_stage": "None",
        "description": "",
        "source": f"models:/{LOGGED}",
        "run_id": RUN,
        "status": "READY",
        "tags": [{"key": "stage", "value": "ok"}],
        "run_link": "",
        "aliases": ["champion"],
    }
}
PLACE = {"artifact_uri": f"mlflow-artifacts:/{FOLDER}"}
RUN_ANSWER = {
    "run": {
        "info": {
            "run_uuid": RUN,
            "experiment_id": "1",
            "run_name": "nightly",
            "user_id": "root",
            "status": "FINISHED",
            "start_time": 1796152441246,
            "end_time": 1796152443142,
            "artifact_uri": f"mlflow-artifacts:/1/{RUN}/artifacts",
            "lifecycle_stage": "active",
            "run_id": RUN,
        },
        "data": {
            "metrics": [
                {"key": "rmse", "value": 1.5, "timestamp": 1796152441260, "step": 0},
                {"key": "mae", "value": 0.7, "timestamp": 1796152441270, "step": 0},
            ],
            "tags": [
                {"key": "mlflow.user", "value": "root"},
                {"key": "mlflow.source.name", "value": "log_model.py"},
                {"key": "mlflow.source.type", "value": "LOCAL"},
                {"key": "mlflow.runName", "value": "nightly"},
                {"key": "team", "value": "supply"},
                {"key": "mlflow.source.git.commit", "value": "a" * 40},
            ],
        },
        "inputs": {
            "dataset_inputs": [
                {
                    "tags": [{"key": "mlflow.data.context", "value": "training"}],
                    "dataset": {
                        "name": "sales-2026",
                        "digest": "c42e9dfe",
                        "source_type": "s3",
                        "source": '{"uri": "s3://bucket/sales.parquet"}',
                        "schema": '{"mlflow_colspec": [{"type": "double", "name": "a", "required": true}]}',
                        "profile": '{"num_rows": 2, "num_elements": 2}',
                    },
                }
            ]
        },
        "outputs": {"model_outputs": [{"model_id": LOGGED, "step": 0}]},
    }
}
ML_MODEL = f"""artifact_path: mlflow-artifacts:/{FOLDER}
flavors:
  onnx:
    code: null
    data: model.onnx
    onnx_session_options: null
    onnx_version: 1.23.2
    providers:
    - CUDAExecutionProvider
    - CPUExecutionProvider
  python_function:
    data: model.onnx
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: mlflow.onnx
    python_version: 3.11.7
mlflow_version: 3.17.2
model_id: {LOGGED}
model_size_bytes: 912
model_uuid: {LOGGED}
prompts: null
run_id: {RUN}
utc_time_created: '2026-12-01 19:14:01.382202'
"""
MISSING = {
    "error_code": "RESOURCE_DOES_NOT_EXIST",
    "message": "Model Version (name=demand, version=7) not found",
    "sqlstate": "KAM00",
    "error_class": "RESOURCE_NOT_FOUND",
}
_REST = "/api/2.0/mlflow"


class MlflowAnswers:
    """What the server answers, by path and query; a test may change it."""

    def __init__(self, model: bytes) -> None:
        self.url = ""
        self.requests: list[tuple[str, str | None]] = []  # path and query, and the Authorization header
        self.authorization: str | None = None  # that is demanded
        self.answers: dict[str, object] = {
            f"{_REST}/registered-models/alias?name=demand&alias=champion": VERSION,
            f"{_REST}/model-versions/get?name=demand&version=1": VERSION,
            f"{_REST}/model-versions/get-download-uri?name=demand&version=1": PLACE,
            f"{_REST}/runs/get?run_id={RUN}": RUN_ANSWER,
        }
        self.files: dict[str, bytes] = {
            f"{FOLDER}/MLmodel": ML_MODEL.encode(),
            f"{FOLDER}/model.onnx": model,
        }

    def answer(self, path: str, authorization: str | None) -> tuple[int, bytes, dict[str, str]]:
        self.requests.append((path, authorization))
        if self.authorization not in {None, authorization}:
            return 401, b"You are not authenticated.", {}
        artifact = unquote(urlsplit(path).path).partition("/api/2.0/mlflow-artifacts/artifacts/")[2]
        if artifact in self.files:
            return 200, self.files[artifact], {"Content-Type": "application/octet-stream"}
        given = self.answers.get(path)
        if isinstance(given, bytes):
            return 200, given, {}
        if isinstance(given, str):
            return 302, b"", {"Location": given}
        body = json.dumps(given or MISSING, indent=2).encode()
        return 200 if given else 404, body, {"Content-Type": "application/json"}


@contextmanager
def mlflow_answering(model: bytes):
    """Serve on loopback meanwhile."""
    answers = MlflowAnswers(model)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body, headers = answers.answer(self.path, self.headers["Authorization"])
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    answers.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield answers
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
