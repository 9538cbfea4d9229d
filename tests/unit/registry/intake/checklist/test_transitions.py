import pytest

from registry.intake.checklist import line_transitions, transitions


@pytest.mark.parametrize(
    ("table", "states"),
    [(transitions, transitions.RunState), (line_transitions, line_transitions.LineState)],
    ids=["run", "line"],
)
def test_every_state_occurs_and_has_its_words(table, states):
    assert set(table.ALLOWED) == set(table.MEANING) == set(states)
    reached = {to for following in table.ALLOWED.values() for to in following}
    assert set(states) - reached == {next(iter(states))}
