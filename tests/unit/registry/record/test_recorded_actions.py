"""Every action that is recorded has a sentence, and every sentence belongs to one that is recorded."""

import pytest

from registry.record.sentences import SENTENCES
from tests.support import recorded_actions as source
from tests.support.recorded_actions import recorded_actions


def test_every_recorded_action_has_a_sentence_and_no_other():
    found = recorded_actions()

    assert found.unread == []
    assert found.actions == {name for name, _ in SENTENCES.items()}


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """Code as if it were the product's."""

    def plant(code: str):
        (tmp_path / "registry").mkdir()
        (tmp_path / "registry" / "planted.py").write_text(code)
        monkeypatch.setattr(source, "ROOT", tmp_path)
        return recorded_actions()

    return plant


@pytest.mark.parametrize(
    ("code", "actions"),
    [
        ("record_change(action='a')", {"a"}),
        ("audit.record_change(action='a' if x else 'b')", {"a", "b"}),
        ("NAMES = {1: 'a', 2: 'b'}\nrecord_change(action=NAMES[x])", {"a", "b"}),
        ("def _end(row, action): record_change(action=action)\n_end(1, 'a')", {"a"}),
        ("def end(*, action): inner(action=action)\ndef inner(action): record_change(action=action)\nend(action='a')", {"a"}),
    ],
)  # fmt: skip
def test_actions_are_found(planted, code, actions):
    found = planted(code)

    assert (found.actions, found.unread) == (actions, [])


@pytest.mark.parametrize("given", ["action=name()", "action=NAMES[x]", "action=f'{x}'", ""])
def test_an_action_that_cannot_be_read_is_named(planted, given):
    assert planted(f"record_change({given})").unread == ["registry/planted.py:1"]
