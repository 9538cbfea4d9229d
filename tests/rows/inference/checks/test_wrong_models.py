"""Files that load and run, and are wrong: only examples and golden sets can tell (6 of 6 are stopped).

That the right file passes both is shown by the checklist's own test.
"""

import pytest

from inference.checks.runner import run_checks
from registry.catalogue.models import Version
from registry.intake.examples.selectors import golden_gate
from tests.support import fruit
from tests.support.factories import an_actor

pytestmark = pytest.mark.django_db


def check(version):
    run = run_checks(version_id=version.pk, options_for=lambda _: fruit.OPTIONS, by=an_actor())
    return {line.step: line.state for line in run.lines.all()}


def is_ready(version):
    return Version.objects.get(pk=version.pk).is_servable


@pytest.mark.parametrize("how", [how for how in fruit.WRONG if how != "swapped labels"])
def test_examples_alone_stop_a_wrong_computation(tmp_path, how):
    """All but swapped labels, which change no number: that takes rows with labels."""
    version = fruit.bring_in_wrong(tmp_path, fruit.fruit_model(), how, with_examples=fruit.examples())

    assert (check(version)["conformance"], is_ready(version)) == ("failed", False)


@pytest.mark.parametrize("how", fruit.WRONG)
def test_the_golden_set_alone_stops_it(tmp_path, how):
    model = fruit.fruit_model()
    fruit.put_golden(model, fruit.golden_lines(), floor=0.99)
    version = fruit.bring_in_wrong(tmp_path, model, how)

    assert check(version)["golden"] == "failed"
    assert golden_gate(version).passes is False
    assert is_ready(version)  # to be looked at, and tried; not to be promoted


@pytest.mark.parametrize("how", fruit.WRONG)
def test_without_either_it_passes(tmp_path, how):
    """Negative control: nothing else in the checklist would have noticed."""
    model = fruit.go_live(tmp_path).model
    version = fruit.bring_in_wrong(tmp_path, model, how)

    found = check(version)

    assert "failed" not in found.values()
    assert is_ready(version) and golden_gate(version).passes is None
