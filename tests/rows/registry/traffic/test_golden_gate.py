"""No live share for a version that is known to do worse than the Model's golden set demands."""

import pytest

from registry.catalogue.models import Version
from registry.errors import GoldenGateFailed
from registry.intake.examples.services import put_golden_set, record_golden_result
from registry.traffic.services import roll_back, set_split
from tests.support.factories import a_live_model, a_model, a_split, a_version, an_actor

pytestmark = pytest.mark.django_db
ROW = b'{"inputs": {"x": [[1, 2, 3, 4]]}, "label": [1, 2]}\n'


@pytest.fixture
def model():
    return a_live_model(100)


def _demand(model, *, floor, version=None):
    return put_golden_set(
        model=model, lines=[ROW], metric="error", floor=floor, margin=None, reason="test", version=version, by=an_actor()
    )  # fmt: skip


def _measured(version, golden_set, value):
    record_golden_result(version=version, golden_set=golden_set, value=value, rows=1, wrong=[], by=an_actor())


def _champion(model):
    return model.aliases.get(name="champion").version


def test_a_version_below_the_floor_gets_nothing(model):
    worse = a_version(model)
    _measured(worse, _demand(model, floor=0.1), 0.5)

    with pytest.raises(GoldenGateFailed, match=r"but at most 0\.1"):
        set_split(model=model, arms={worse: 1_000, _champion(model): 9_000}, reason="try", by=an_actor())
    assert model.splits.count() == 1


@pytest.mark.parametrize("value", [0.05, None], ids=["good", "not-measured"])
def test_others_get_theirs(model, value):
    other = a_version(model)
    golden_set = _demand(model, floor=0.1)
    if value is not None:
        _measured(other, golden_set, value)

    split = set_split(model=model, arms={other: 1_000, _champion(model): 9_000}, reason="try", by=an_actor())

    assert split.shares()[other.pk] == 1_000


def test_lowering_and_rolling_back_never_wait(model):
    champion, candidate = _champion(model), a_version(model)
    a_split(model, 50, 50, versions=[champion, candidate])
    golden_set = _demand(model, floor=0.1)
    _measured(champion, golden_set, 0.5)
    _measured(candidate, golden_set, 0.5)

    lowered = set_split(model=model, arms={champion: 9_000, candidate: 1_000}, reason="lower", by=an_actor())
    back = roll_back(model=model, reason="back", by=an_actor())

    assert lowered.shares()[candidate.pk] == 1_000
    assert back.shares()[candidate.pk] == 5_000


class TestPreprocessing:
    """A set says nothing about a version that reads requests in another way."""

    def promote(self, model, version):
        return set_split(
            model=model, arms={version: 1_000, _champion(model): 9_000}, reason="try", by=an_actor()
        )

    def of_two(self, first, second):
        """A Model whose set was put with a live version of the first hash, and a good version of the second."""
        model = a_model()
        a_split(model, 100, versions=[a_version(model, preprocessing=first)])
        golden_set = _demand(model, floor=0.1)
        other = a_version(model, preprocessing=second)
        _measured(other, golden_set, 0.0)
        return model, other

    def test_another_hash_is_refused_until_the_set_is_put_again_for_it(self):
        model, other = self.of_two("a" * 16, "b" * 16)

        with pytest.raises(GoldenGateFailed) as refused:
            self.promote(model, other)
        assert f"made for pre-processing {'a' * 16}, but version 2 has {'b' * 16}" in str(refused.value)
        assert "put the set again for version 2" in str(refused.value)
        assert model.splits.count() == 1

        golden_set = _demand(model, floor=0.1, version=other)
        _measured(other, golden_set, 0.0)
        assert self.promote(model, other).shares()[other.pk] == 1_000

    @pytest.mark.parametrize(("first", "second"), [("a" * 16, "a" * 16), ("", "b" * 16), ("", "")])
    def test_the_same_one_or_a_set_without_one_is_not(self, first, second):
        model, other = self.of_two(first, second)

        assert self.promote(model, other).shares()[other.pk] == 1_000

    def test_a_version_from_before_there_were_hashes_is_refused_until_it_is_checked_again(self):
        model, other = self.of_two("a" * 16, "")

        with pytest.raises(GoldenGateFailed, match="that of version 2 is not known; check it again"):
            self.promote(model, other)

        Version.objects.filter(pk=other.pk).update(preprocessing="a" * 16)
        other.refresh_from_db()
        assert self.promote(model, other).shares()[other.pk] == 1_000

    def test_it_is_refused_before_it_is_measured_too(self):
        model = a_model()
        a_split(model, 100, versions=[a_version(model, preprocessing="a" * 16)])
        _demand(model, floor=None)

        with pytest.raises(GoldenGateFailed, match="put the set again"):
            self.promote(model, a_version(model, preprocessing="b" * 16))

    def test_rolling_back_never_waits_for_it(self):
        model = a_model()
        first = a_version(model, preprocessing="a" * 16)
        second = a_version(model, preprocessing="b" * 16)
        a_split(model, 100, versions=[first])
        a_split(model, 100, versions=[second])
        _demand(model, floor=0.1)

        back = roll_back(model=model, reason="back", by=an_actor())

        assert back.shares()[first.pk] == 10_000
