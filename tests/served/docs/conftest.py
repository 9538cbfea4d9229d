"""Code that the pages tell people to paste."""

import json
import shutil
import urllib.request
from base64 import b64decode

import pytest

from tests.support.processes import ROOT, clean_environment

EXAMPLES = ROOT / "examples"
HARVEST = "fruit,weight,firmness,hue\napple,0.21,0.79,0.31\npear,0.8,0.2,oops\nplum,0.8,0.2,0.9\n"


@pytest.fixture(scope="package")
def environment(embedded):
    """The environment of a shell that has pasted the first lines of docs/clients.md."""
    key = embedded.credentials["api_key"]
    return clean_environment(URL=embedded.url, KEY=key, GRPC=f"127.0.0.1:{embedded.grpc_port}")


@pytest.fixture
def folder(environment, tmp_path):
    """A reader's: with the Python client, and the files that the pages name."""
    with urllib.request.urlopen(f"{environment['ROUNDHOUSE_URL']}/api/v1/client.py", timeout=10) as client:
        (tmp_path / "roundhouse.py").write_bytes(client.read())
    shutil.copy(EXAMPLES / "demand" / "model.onnx", tmp_path)
    shapes = json.loads((EXAMPLES / "shapes" / "sample.json").read_text())
    (tmp_path / "picture.jpg").write_bytes(b64decode(shapes["image"]))
    (tmp_path / "harvest.csv").write_text(HARVEST)
    return tmp_path
