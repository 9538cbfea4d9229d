"""Checks at the start that stand between a model file and the runtime's settings."""

import pytest

from roundhouse.system_checks import check_runtime_environment
from tests.support.processes import ROOT

PRODUCT = ("platform", "registry", "inference", "moderation")
NEVER = ("register_custom_ops" + "_library", "register_execution_provider" + "_library")


@pytest.mark.parametrize("value", ["1", "0", "true"])
def test_files_may_not_configure_the_runtime(monkeypatch, value):
    monkeypatch.setenv("ORT_LOAD_CONFIG_FROM_MODEL", value)

    (error,) = check_runtime_environment()

    assert (error.id, error.hint) == ("roundhouse.E005", "Unset it.")
    assert "ORT_LOAD_CONFIG_FROM_MODEL" in error.msg


@pytest.mark.parametrize("value", [None, ""], ids=["unset", "empty"])
def test_unset_is_well(monkeypatch, value):
    monkeypatch.delenv("ORT_LOAD_CONFIG_FROM_MODEL", raising=False)
    if value is not None:
        monkeypatch.setenv("ORT_LOAD_CONFIG_FROM_MODEL", value)

    assert check_runtime_environment() == []


def mentions(word, folders):
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 10
    return [str(path.relative_to(ROOT)) for path in sources if word in path.read_text()]


@pytest.mark.parametrize("name", NEVER)
def test_nothing_in_the_product_loads_foreign_libraries_into_the_runtime(name):
    assert mentions(name, PRODUCT) == []


def test_the_search_would_find_it():
    """Negative control: a name that the product does use."""
    assert "inference/engine/onnx_backend.py" in mentions("InferenceSession", PRODUCT)
