"""The stylesheet: two rooms cannot give one class two meanings, and what nobody uses is gone."""

import re
from collections import Counter

from tests.support.processes import ROOT

STYLES = ROOT / "templates" / "static" / "roundhouse" / "console.css"
USERS = [
    *ROOT.glob("templates/**/*.html"),
    *ROOT.glob("templates/**/*.js"),
    *(
        path
        for folder in ("platform", "registry", "inference", "moderation")
        for path in ROOT.glob(f"{folder}/**/*.py")
    ),
]


def blocks(text):
    """(selectors, body) of each rule; of nested ones, the outer rule has the inner ones as its body."""
    depth = start = 0
    for at, sign in enumerate(text):
        if sign == "{":
            depth += 1
            if depth == 1:
                selectors, body = text[start:at].strip(), at + 1
        elif sign == "}":
            depth -= 1
            if depth == 0:
                yield selectors, text[body:at]
                start = at + 1


def set_properties(text, within=""):
    for selectors, body in blocks(text):
        if selectors.startswith("@media"):
            yield from set_properties(body, selectors)
        elif not selectors.startswith("@"):
            for selector in re.split(r",(?![^(]*\))", selectors):
                for line in filter(str.strip, body.split(";")):
                    yield within, selector.strip(), line.partition(":")[0].strip()


def styles():
    return re.sub(r"/\*.*?\*/", "", STYLES.read_text(), flags=re.S)


def test_a_property_of_a_selector_is_set_once():
    counts = Counter(set_properties(styles()))

    assert len(counts) > 1_000
    assert [setting for setting, count in counts.items() if count > 1] == []


def test_every_class_is_used():
    """Ends of names may come from values, as in `rh-badge-{{ tone }}`."""
    text = "\n".join(path.read_text() for path in USERS)
    used, beginnings = set(re.findall(r"rh-[\w-]+", text)), tuple(re.findall(r"(rh-[\w-]+-)\$?{", text))
    named = set(re.findall(r"\.(rh-[\w-]+)", styles()))

    assert sorted(name for name in named - used if not name.startswith(beginnings)) == []
