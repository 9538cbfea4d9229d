from contextlib import nullcontext

import pytest

from registry.access.policies import Right
from registry.catalogue.models import Alias, Model
from registry.catalogue.services import archive_version
from registry.errors import Conflict, Invalid, ModelFrozen, NotAllowed, StaleState, VersionNotReady
from registry.record.models import AuditRecord, Event
from registry.record.sentences import describe
from registry.traffic.models import Split
from registry.traffic.readiness import ReadinessState
from registry.traffic.services import expire_split, freeze_model, reshuffle, set_split, settle_split
from registry.traffic.transitions import Status
from tests.rows.registry.traffic.two_people import shares_of
from tests.support.factories import a_live_model, a_model, a_split, a_version, an_actor, an_uploaded_version
from tests.support.tables import cases

pytestmark = pytest.mark.django_db


@pytest.fixture
def model():
    return a_live_model(90, 10)


def champion(model):
    return Alias.objects.get(model=model, name="champion").version.number


def test_a_split_becomes_current_and_moves_champion_with_an_audit_record_and_an_event():
    model = a_model()
    first, second = a_version(model), a_version(model)

    split = set_split(model=model, arms={first: 2_000, second: 8_000}, reason="try", by=an_actor())

    assert (split.number, split.status, split.to_at) == (1, Status.CURRENT, None)
    assert split.shares() == {first.pk: 2_000, second.pk: 8_000}
    assert champion(model) == 2
    assert AuditRecord.objects.first().action == "set_split"
    assert AuditRecord.objects.first().after["arms"] == {"1": 2_000, "2": 8_000}
    assert Event.objects.get().kind == "split_changed"


def test_the_next_split_ends_the_one_before_at_the_very_moment_it_begins(model):
    before = model.splits.get()

    after = a_split(model, 50, 50)

    before.refresh_from_db()
    assert (before.status, before.to_at) == (Status.PAST, after.from_at)
    assert Split.objects.filter(model=model, status=Status.CURRENT).get() == after


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [((50, 50), (50, 50), 1), ((40, 60), (50, 50), 2), ((90, 10), (10, 90), 2)],
    ids=["a tie goes to the oldest", "a tie leaves it where it is", "the larger share"],
)
def test_champion_follows_the_largest_share(before, after, expected):
    model = a_live_model(*before)

    a_split(model, *after)

    assert champion(model) == expected


@pytest.mark.parametrize(
    "shares",
    [{0: 9_999}, {0: 10_001}, {0: 10_000, 1: 0}, {0: 10_001, 1: -1}, {}],
    ids=["too little", "too much", "zero share", "negative share", "no arm"],
)
def test_shares_that_do_not_make_the_whole_are_refused(shares, model):
    versions = list(model.versions.order_by("number"))

    with pytest.raises(Invalid):
        set_split(model=model, arms={versions[i]: s for i, s in shares.items()}, reason="x", by=an_actor())

    assert model.splits.count() == 1


@cases(
    "a_candidate, error, says",
    of_another_Model=(lambda model: a_version(), Invalid, "can only contain versions"),
    not_ready=(an_uploaded_version, VersionNotReady, "is uploaded"),
)
def test_a_version_that_cannot_answer_is_refused(a_candidate, error, says):
    model = a_live_model(100)

    with pytest.raises(error, match=says):
        set_split(model=model, arms={a_candidate(model): 10_000}, reason="x", by=an_actor())


def test_shadows_are_kept_and_never_own_a_bucket():
    model = a_model()
    first, second = a_version(model), a_version(model)

    split = set_split(model=model, arms={first: 10_000}, shadows={second: 500}, reason="x", by=an_actor())

    assert split.shares() == {first.pk: 10_000}
    assert split.arms.get(version=second).mirrored == 500


def test_a_version_cannot_answer_and_shadow():
    version = a_version()
    shares = {"arms": {version: 10_000}, "shadows": {version: 1}}

    with pytest.raises(Invalid, match="both"):
        set_split(model=version.model, **shares, reason="x", by=an_actor())


def test_twenty_seven_arms_are_too_many():
    model = a_model()
    first, *others = [a_version(model) for _ in range(27)]

    with pytest.raises(Invalid, match="26 arms"):
        set_split(model=model, arms={first: 7_400, **dict.fromkeys(others, 100)}, reason="x", by=an_actor())


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [(1, nullcontext()), (0, pytest.raises(StaleState, match="number 1")), (2, pytest.raises(StaleState))],
    ids=["the newest", "an older", "one to come"],
)
def test_only_who_saw_the_newest_split_may_set_the_next(seen, outcome, model):
    with outcome:
        assert a_split(model, 80, 20, expected_revision=seen).number == 2


@pytest.mark.parametrize(
    "reason", ["", "   ", "two\nlines", "x" * 501], ids=["none", "blank", "lines", "long"]
)
def test_a_split_needs_a_reason(reason):
    model = a_live_model(100)

    with pytest.raises(Invalid):
        set_split(model=model, arms={model.versions.get(): 10_000}, reason=reason, by=an_actor())


@cases(
    "right, shares, outcome",
    setter_raises=(Right.SET_SPLIT, (50, 50), nullcontext()),
    lowerer_lowers=(Right.LOWER, (95, 5), nullcontext()),
    lowerer_raises=(Right.LOWER, (80, 20), pytest.raises(NotAllowed)),
    reader_lowers=(Right.READ, (95, 5), pytest.raises(NotAllowed)),
)
def test_raising_and_lowering_need_their_rights(right, shares, outcome, model):
    with outcome:
        set_split(model=model, arms=shares_of(model, *shares), reason="x", by=an_actor(right))


def test_a_right_for_other_models_is_no_right_here():
    model = a_live_model(100)
    elsewhere = an_actor(*Right, models=frozenset({model.pk + 1}))

    with pytest.raises(NotAllowed):
        set_split(model=model, arms={model.versions.get(): 10_000}, reason="x", by=elsewhere)


@cases(
    "shares, outcome",
    lower=((95, 5), nullcontext()),
    to_the_champion=((100, 0), nullcontext()),
    raise_=((80, 20), pytest.raises(ModelFrozen, match="audit week")),
    promote=((10, 90), pytest.raises(ModelFrozen, match="audit week")),
)
def test_a_frozen_model_refuses_only_what_gives_live_share(shares, outcome, model):
    freeze_model(model=model, reason="audit week", by=an_actor())

    with outcome:
        set_split(model=model, arms=shares_of(model, *shares), reason="x", by=an_actor())


def test_reshuffling_renews_the_salt_and_leaves_shares_and_buckets(model):
    before = model.splits.get()

    after = reshuffle(model=model, reason="new experiment", by=an_actor())

    assert after.salt != before.salt == model.salt
    assert after.buckets == before.buckets
    assert Model.objects.get(pk=model.pk).salt == after.salt


def test_a_frozen_model_is_not_reshuffled():
    model = a_live_model(100)
    freeze_model(model=model, reason="no", by=an_actor())

    with pytest.raises(ModelFrozen):
        reshuffle(model=model, reason="x", by=an_actor())


def test_a_split_waits_until_it_is_ready(verdict, model):
    verdict(ReadinessState.WAIT)

    split = a_split(model, 50, 50)

    assert split.status == Status.WAITING
    assert settle_split(split=split, by=an_actor()).status == Status.WAITING
    verdict(ReadinessState.READY)
    waits = "set split 2: v2 10 → 50 %, v1 90 → 50 %; it waits until its versions are loaded"
    assert describe(AuditRecord.objects.get(action="set_split", object_id=split.pk)) == waits
    assert settle_split(split=split, by=an_actor()).status == Status.CURRENT
    made_current = AuditRecord.objects.get(action="activate_split")
    assert describe(made_current) == "made split 2 current: v2 10 → 50 %, v1 90 → 50 %"
    assert [s.status for s in model.splits.order_by("number")] == [Status.PAST, Status.CURRENT]


def test_a_split_that_can_never_be_ready_expires_and_the_old_one_stays(verdict, model):
    verdict(ReadinessState.WAIT)
    split = a_split(model, 50, 50)
    verdict(ReadinessState.NEVER, "version 2 cannot be loaded")

    assert settle_split(split=split, by=an_actor()).status == Status.EXPIRED
    assert model.splits.get(status=Status.CURRENT).number == 1
    record = AuditRecord.objects.get(action="expire_split")
    assert describe(record) == "gave up split 2, which was waiting to become current"


def test_a_newer_split_overtakes_one_that_waits(verdict, model):
    verdict(ReadinessState.WAIT)
    overtaken = a_split(model, 50, 50)
    verdict(ReadinessState.READY)

    a_split(model, 70, 30)

    overtaken.refresh_from_db()
    assert overtaken.status == Status.EXPIRED
    with pytest.raises(StaleState):
        settle_split(split=overtaken, by=an_actor())


def test_a_waiting_split_that_gives_share_waits_on_while_the_model_is_frozen(verdict, model):
    verdict(ReadinessState.WAIT)
    split = a_split(model, 50, 50)
    freeze_model(model=model, reason="no", by=an_actor())
    verdict(ReadinessState.READY)

    assert settle_split(split=split, by=an_actor()).status == Status.WAITING


def test_a_current_split_cannot_expire():
    model = a_live_model(100)

    with pytest.raises(Conflict, match="cannot become expired"):
        expire_split(split=model.splits.get(), reason="x", by=an_actor())


def test_a_version_on_the_current_split_cannot_be_archived(model):
    second = model.versions.get(number=2)

    with pytest.raises(Conflict, match="current split 1"):
        archive_version(version=second, reason="old", by=an_actor())

    a_split(model, 100)
    assert archive_version(version=second, reason="old", by=an_actor()).status == "archived"


def test_a_split_cannot_be_saved_again_or_deleted():
    split = a_live_model(100).splits.get()

    with pytest.raises(Conflict, match="immutable"):
        split.save()
    with pytest.raises(Conflict, match="history"):
        split.delete()


def test_setting_a_split_takes_the_same_queries_however_many_splits_there_were(
    django_assert_max_num_queries, model
):
    for share in (80, 70, 60):
        a_split(model, share, 100 - share)

    with django_assert_max_num_queries(45):
        a_split(model, 50, 50)
