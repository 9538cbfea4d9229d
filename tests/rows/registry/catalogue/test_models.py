import pytest

from registry.catalogue.models import Model
from registry.catalogue.services import create_model, edit_model
from registry.errors import Conflict, Invalid, NameTaken, StaleState
from registry.record.models import AuditRecord
from registry.traffic.services import stop_model
from tests.support.factories import a_live_model, a_model, an_actor

pytestmark = pytest.mark.django_db

BAD_NAMES = ["../etc/passwd", "a/b", "a\0b", "Fraud", "a_b", "a b", "-a", "a-", "fraud\n", "", "fräud", ".."]
LOOKALIKES = ["a\u202eb", "ａ"]


@pytest.mark.parametrize("slug", [*BAD_NAMES, *LOOKALIKES, "a" * 65, "a" * 300], ids=ascii)
def test_what_cannot_be_a_name_is_refused(slug):
    with pytest.raises(Invalid):
        create_model(slug=slug, by=an_actor())

    assert not Model.objects.exists()


@pytest.mark.parametrize("slug", ["a", "a" * 64, "fraud-score-2", "con"])
def test_names_that_are_taken_as_they_are(slug):
    assert create_model(slug=slug, by=an_actor()).slug == slug


def test_a_name_is_given_once():
    a_model("fraud")

    with pytest.raises(NameTaken, match="fraud already exists"):
        a_model("fraud")

    assert a_model("fraud-2").pk


def test_a_new_model_is_recorded_with_all_that_was_said():
    a_model("fraud", needs_approval=True, task="classification", tags=["b", "a", "b"])

    record = AuditRecord.objects.get()
    assert (record.action, record.before, record.model_slug) == ("create_model", None, "fraud")
    assert (record.after["tags"], record.after["task"]) == (["a", "b"], "classification")


@pytest.mark.parametrize(
    "more",
    [
        {"task": "poetry"},
        {"title": "x" * 201},
        {"notes": "x" * 20_001},
        {"notes": "a\0b"},
        {"tags": [""]},
        {"tags": ["a\nb"]},
        {"tags": ["x" * 65]},
        {"tags": [str(n) for n in range(51)]},
    ],
    ids=["task", "title", "notes", "nul", "empty tag", "tag of lines", "long tag", "many tags"],
)
def test_what_a_model_cannot_say(more):
    with pytest.raises(Invalid):
        create_model(slug="fraud", by=an_actor(), **more)


def edit(model, by=None, expected_revision=None, reason="", **changes):
    return edit_model(
        model=model, changes=changes, expected_revision=expected_revision, reason=reason, by=by or an_actor()
    )


def test_editing_changes_what_is_named_and_nothing_else():
    model = a_model(title="old", notes="kept", tags=["a"])

    edited = edit(model, title="new", tags=["b", "c"])

    assert (edited.title, edited.notes) == ("new", "kept")
    assert [tag.name for tag in edited.tags.all()] == ["b", "c"]
    record = AuditRecord.objects.first()
    assert (record.before["title"], record.after["title"]) == ("old", "new")


def test_of_two_editors_who_saw_the_same_the_second_is_told():
    model = a_model()
    seen = model.revision
    edit(model, title="first", expected_revision=seen)

    with pytest.raises(StaleState, match="reload and try again"):
        edit(model, title="second", expected_revision=seen)

    assert Model.objects.get().title == "first"


@pytest.mark.parametrize(
    ("changes", "is_good"),
    [
        ({"key_source": "field", "key_field": "customer"}, True),
        ({"key_source": "tenant"}, True),
        ({"key_source": "field"}, False),
        ({"key_field": "customer"}, False),
        ({"key_source": "moon"}, False),
    ],
    ids=["field", "tenant", "field without name", "name without field", "unknown"],
)
def test_the_routing_key_setting_is_whole(changes, is_good):
    model = a_model()

    if is_good:
        assert edit(model, **changes).key_source == changes["key_source"]
    else:
        with pytest.raises(Invalid):
            edit(model, **changes)


def test_model_moves_to_another_pool_with_a_reason():
    model = a_model()

    with pytest.raises(Invalid, match="Give a reason"):
        edit(model, pool="gpu-large")
    moved = edit(model, pool="gpu-large", reason="too big for the others")

    assert moved.pool == "gpu-large"
    assert AuditRecord.objects.order_by("-pk")[0].after["pool"] == "gpu-large"


@pytest.mark.parametrize("pool", ["", "GPU", "a b", "pool.infer", "x" * 65])
def test_what_cannot_be_a_pool_is_refused(pool):
    with pytest.raises(Invalid):
        edit(a_model(), pool=pool, reason="because")


@pytest.mark.parametrize("executor", ["inprocess", "workers"])
def test_live_model_moves_only_where_no_worker_answers_for_it(executor, settings):
    settings.EXECUTOR = executor
    model = a_live_model(100)

    if executor == "workers":
        with pytest.raises(Conflict, match="Stop it, change its pool"):
            edit(model, pool="gpu", reason="because")
        stop_model(model=model, text="moving", by=an_actor())

    assert edit(model, pool="gpu", reason="because").pool == "gpu"
