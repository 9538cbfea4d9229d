"""Two versions side by side."""

import pytest
from django.urls import reverse

from registry.catalogue import artifacts, services
from registry.intake.checklist.services import end_line, end_run, start_run
from tests.support.factories import (
    SIGNATURE,
    a_golden_result,
    a_golden_set,
    a_live_model,
    a_model,
    a_version,
    an_actor,
    an_uploaded_version,
)

pytestmark = pytest.mark.django_db
EVIL = "<script>alert(1)</script>"


def shown(client, version, **query):
    answer = client.get(reverse("admin:registry_version_compare", args=[version.pk]), query)
    assert answer.status_code == 200
    return answer.text


def checked(version, profile):
    run = start_run(version_id=version.pk, runtime_version="1", by=an_actor())
    end_line(run=run, step="warmup", state="passed", facts={"profile": profile, "footprint_bytes": 2048})
    end_run(run=run, signature=SIGNATURE, by=an_actor())


def a_set_of(model, rows):
    return a_golden_set(model, *({"inputs": {"x": [row, EVIL]}, "label": "cat"} for row in range(rows)))


def measured(version, golden_set, wrong):
    answers = [{"row": row, "expected": "cat", "got": EVIL} for row in wrong]
    a_golden_result(version, golden_set, 0.5, answers)


def test_an_only_version_has_nothing_beside_it(client, viewer):
    assert "has no other version yet" in shown(client, a_version())


def test_compares_with_the_live_version_by_default_else_the_one_before(client, viewer):
    live = a_live_model(100)
    a_version(live)
    newest, other = a_version(live), a_model()
    first, second = a_version(other), a_version(other)

    assert "compared with version 1" in shown(client, newest)
    assert "compared with version 1" in shown(client, second)
    assert "compared with version 2" in shown(client, first)
    assert "compared with version 2" in shown(client, newest, **{"with": 2})


@pytest.mark.parametrize("number", ["99", "x", "-1", "9" * 30])
def test_an_unknown_version_number(client, viewer, number):
    version = a_version()
    a_version(version.model)

    page = shown(client, version, **{"with": number})

    assert "Choose one" in page or "compared with version 2" in page


def test_signatures_speed_and_properties(client, viewer):
    model = a_model()
    first = an_uploaded_version(model, notes=EVIL)
    checked(first, [[1, 1.0], [8, 3.0]])
    second = services.start_check(version=an_uploaded_version(model), by=an_actor())
    signature = {"inputs": [], "outputs": SIGNATURE["outputs"]}
    services.pass_check(version=second, signature=signature, by=an_actor())
    checked(second, [[1, 2.0], [8, 5.0]])

    page = shown(client, second)

    for text in ("was removed; callers that send it fail.", "breaking", "2 KiB", "1.2 KiB"):
        assert text in page, text
    assert page.count("<polyline") == 4  # two lines, and their keys
    assert [page.count(f'"rh-curve rh-curve-{look}"') for look in (0, 1)] == [2, 2]
    assert EVIL not in page


def test_a_task_configuration_is_shown_as_text(client, viewer):
    model = a_model(task="classification")
    config = {"labels": ["cat", EVIL], "scores": "logits"}
    first, second = (a_version(model, task_config=config) for _ in range(2))

    page = shown(client, second, **{"with": first.number})

    assert page.count("labels: cat, &lt;script&gt;alert(1)&lt;/script&gt;; scores: logits") == 2
    assert EVIL not in page


def test_labels_that_differ_only_at_the_end_count_as_different(client, viewer):
    model = a_model(task="classification")
    labels = [str(number) for number in range(20)]
    first = a_version(model, task_config={"labels": labels, "scores": "logits"})
    second = a_version(model, task_config={"labels": [*labels[:-1], "x"], "scores": "logits"})

    page = shown(client, second, **{"with": first.number})

    assert page.count("0, 1, 2, 3, 4, 5, 6, 7 and 12 more") == 2
    assert 'class="rh-changed"><th scope="row">Task configuration' in page


def test_task_files_are_compared_by_their_hashes(client, viewer):
    model = a_model(task="text-classification")
    config = {"labels": ["a", "b"]}
    first, second = (
        a_version(model, task_config=config, task_files={"tokenizer.json": letter * 64}) for letter in "ab"
    )

    page = shown(client, second, **{"with": first.number})

    assert f"tokenizer.json {'a' * 12}<" in page and f"tokenizer.json {'b' * 12}<" in page


def test_an_equal_signature_is_reported(client, viewer):
    model = a_model()
    a_version(model)

    assert "can call version 2 without changes" in shown(client, a_version(model))


def test_a_version_that_was_not_checked_is_compared_as_far_as_it_goes(client, viewer):
    model = a_model()
    a_version(model)

    page = shown(client, an_uploaded_version(model))

    assert "one of the two has not been checked yet" in page
    assert "Not measured yet" in page


def test_disagreements_come_page_by_page_with_their_inputs(client, viewer, django_assert_max_num_queries):
    model = a_live_model(100)
    second = a_version(model)
    golden_set = a_set_of(model, 40)
    measured(model.versions.get(number=1), golden_set, range(1, 31))
    measured(second, golden_set, [40])

    first_page = shown(client, second)
    with django_assert_max_num_queries(24):
        last_page = shown(client, second, page=2)

    assert "They disagree on 31 rows" in first_page
    assert "Page 1 of 2" in first_page
    assert first_page.count("<small>wrong</small>") == 25
    assert last_page.count("<small>wrong</small>") == 6
    assert "[39,&quot;&lt;script&gt;" in last_page
    assert EVIL not in first_page + last_page


def test_without_the_file_the_answers_are_shown_all_the_same(client, viewer):
    model = a_live_model(100)
    second = a_version(model)
    golden_set = a_set_of(model, 2)
    measured(model.versions.get(number=1), golden_set, [1])
    measured(second, golden_set, [])
    artifacts.path_of(golden_set.sha256).unlink()

    page = shown(client, second)

    assert "They disagree on 1 row" in page
    assert "not kept" in page
