"""Every command is named in docs/, as code, so that readers find it."""

import re

from django.core.management import get_commands

from tests.support.processes import ROOT

OURS = {"roundhouse", "moderation", "inference", "registry"}
CODE = re.compile(r"^```.*?^```|^(?: {4}).*?$|`[^`\n]+`", re.DOTALL | re.MULTILINE)


def words_of(text):
    return {word for code in CODE.findall(text) for word in re.findall(r"\w+", code)}


def commands():
    return sorted(name for name, app in get_commands().items() if app in OURS)


def test_each_is_named():
    named = set().union(*(words_of(page.read_text()) for page in (ROOT / "docs").rglob("*.md")))

    assert [name for name in commands() if name not in named] == []


def test_there_are_commands_and_a_word_in_plain_text_names_none():
    """Negative control."""
    assert {"serve", "import_model", "set_split"} <= set(commands())
    assert words_of("We web `serve NAME`.\n\n    manage.py beat\n```sh\ngrpc\n```\n") == {
        "serve", "NAME", "manage", "py", "beat", "sh", "grpc",
    }  # fmt: skip
