"""The golden set on a Model's page: shown, exchanged through the form, and refused there."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from registry.console import golden_set
from registry.intake.examples.models import GoldenSet, Metric
from tests.support.factories import a_golden_result, a_golden_set, a_live_model, a_model, a_version

pytestmark = pytest.mark.django_db
EVIL = "<script>alert(1)</script>"
ROW = b'{"inputs": {"x": [1, 2]}, "label": "cat"}\n'


def page_of(model, name="change"):
    return f"{reverse(f'admin:registry_model_{name}', args=[model.pk])}?tab=versions"


def filled(content=ROW, **more):
    file = SimpleUploadedFile("rows.jsonl", content)
    return {"file": file, "metric": "accuracy", "floor": "0.8", "margin": "", "reason": "first", **more}


def test_a_set_is_put_from_the_page(client, operator):
    model = a_model()
    assert "No golden set yet" in client.get(page_of(model)).text

    answer = client.post(page_of(model, "golden_set"), filled())

    made = GoldenSet.objects.get()
    assert (answer.status_code, made.rows, made.floor, made.margin) == (302, 1, 0.8, None)
    assert "No version has been measured" in client.get(page_of(model)).text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"content": b"{}"}, "Line 1 must be an object"),
        ({"content": b""}, "empty"),
        ({"reason": ""}, "required"),
        ({"floor": "2"}, "from 0 to 1"),
        ({"metric": "beauty"}, "valid choice"),
    ],
    ids=["row", "nothing", "reason", "floor", "metric"],
)
def test_what_is_wrong_is_said_on_the_form(client, operator, given, said):
    page = client.post(page_of(a_model(), "golden_set"), filled(**given))

    assert said in page.text
    assert not GoldenSet.objects.exists()


def test_a_large_file_goes_elsewhere(client, operator, monkeypatch):
    monkeypatch.setattr(golden_set, "MAX_PAGE_BYTES", 10)
    page = client.post(page_of(a_model(), "golden_set"), filled())

    assert "Use the API instead" in page.text


def test_results_are_shown_beside_what_is_demanded(client, viewer):
    model = a_live_model(100)
    a_version(model)
    golden_set = a_golden_set(model, floor=0.8, margin=0.05, reason=EVIL)
    for version, value in zip(model.versions.order_by("number"), (0.95, 0.85), strict=True):
        a_golden_result(version, golden_set, value)

    page = client.get(page_of(model)).text

    for text in ("0.9500", "0.8500", "failed<", "more than 0.05 worse"):
        assert text in page
    assert EVIL not in page


def test_a_viewer_gets_no_form(client, viewer):
    assert "golden-set/" not in client.get(page_of(a_model())).text


def test_the_page_asks_the_same_however_many_results(client, operator, django_assert_max_num_queries):
    model = a_live_model(100)
    golden_set = a_golden_set(model)
    for _ in range(12):
        a_golden_result(a_version(model), golden_set, 0.9)
    client.get(page_of(model))

    with django_assert_max_num_queries(40):
        client.get(page_of(model))


class TestTasks:
    def test_the_form_offers_the_metrics_that_fit(self, client, operator):
        page = client.get(page_of(a_model(task="entities"))).text

        assert 'value="span_f1"' in page and 'value="accuracy"' not in page
        assert "&quot;start&quot;: 0" in page
        assert 'value="span_f1"' not in client.get(page_of(a_model())).text
        ranking = client.get(page_of(a_model(task="ranking"))).text
        assert [metric for metric in Metric.values if f'value="{metric}"' in ranking] == [
            "ndcg", "auc", "log_loss",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("metric", "title"),
        [("log_loss", "Log loss"), ("ndcg", "NDCG"), ("map50", "mAP 50"), ("span_f1", "Span F1")],
    )
    def test_a_metric_has_a_title(self, metric, title):
        assert GoldenSet(metric=metric).metric_title == title

    def test_a_set_is_put_for_a_version(self, client, operator):
        model = a_model()
        for letter in "ab":
            a_version(model, preprocessing=letter * 16)
        assert f"version 1: {'a' * 16}" in client.get(page_of(model)).text

        client.post(page_of(model, "golden_set"), filled(version="1"))

        assert GoldenSet.objects.get().preprocessing == "a" * 16
        assert f"<dd>{'a' * 16}</dd>" in client.get(page_of(model)).text

    def test_a_version_that_is_not_offered_is_refused(self, client, operator):
        model = a_model()
        a_version(model, preprocessing="a" * 16)

        assert "valid choice" in client.post(page_of(model, "golden_set"), filled(version="7")).text
        assert not GoldenSet.objects.exists()

    def test_without_hashes_there_is_nothing_to_choose(self, client, operator):
        model = a_version().model

        assert "For the pre-processing of" not in client.get(page_of(model)).text
