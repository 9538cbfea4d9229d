"""Labels that rules can look for, and what a draft is warned of."""

from moderation.console.detector_choices import DetectorChoice, draft_warnings, labels_of

TAGS = {"labels": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]}
TONE = DetectorChoice("tone", "", "text-classification", ["text", "title"], 3, ["angry", "calm"], ["stable"])
NAMES = DetectorChoice("names", "", "entities", ["text", "title"], 1, ["PER", "LOC"], [])
COLD = DetectorChoice("cold", "", "text-classification", ["text", "title"], None, [], [])


def test_entities_have_types():
    assert labels_of("entities", TAGS) == ["PER", "LOC"]
    assert labels_of("entities", {**TAGS, "ignored": ["O", "LOC"]}) == ["PER"]


def test_entities_have_patterns():
    assert labels_of("entities", {**TAGS, "patterns": [{"ID": r"ID-\d+"}]}) == ["PER", "LOC", "ID"]


def test_entities_that_are_not_grouped_have_tags():
    assert labels_of("entities", {**TAGS, "grouping": "none"}) == ["B-PER", "I-PER", "B-LOC", "I-LOC"]


def test_others_have_their_labels():
    assert labels_of("text-classification", {"labels": ["angry", "calm"]}) == ["angry", "calm"]


def warnings(**rule):
    content = {"rules": [{"kind": "words"}, {"kind": "detector", "detector": "tone", **rule}]}
    return [(one.place, one.sentence) for one in draft_warnings(content, [TONE, COLD, NAMES])]


def test_a_misspelt_label_never_fires():
    assert warnings(labels=["angry"]) == []
    assert warnings(labels=["angri"]) == [
        (("rules", 1, "labels"), "Version 3 of tone has no label “angri”, so this rule never finds it.")
    ]


def test_a_rule_that_is_off_warns_of_nothing():
    assert warnings(labels=["angri"], state="off") == []


def test_a_detector_without_a_live_version():
    assert warnings(detector="cold")[0][0] == ("rules", 1, "detector")


def test_no_label_means_every_label():
    ((place, sentence),) = warnings()

    assert place == ("rules", 1, "labels")
    assert sentence == "No label is chosen, so each label of tone counts, also a harmless one: angry, calm."
    assert warnings(detector="names") == []  # entities are only there if there are some


def test_an_alias_that_is_not_there():
    assert warnings(detector="tone@stable") == []
    assert "no alias unstable" in warnings(detector="tone@unstable")[0][1]
