"""From findings to a judgement."""

import random

import pytest

from moderation.deciding.findings import DetectorAnswer, Failure, Findings
from moderation.deciding.judgements import decide, needed_detectors, needed_lists
from moderation.policies.rules import Ruling, read_rules

DOWN = Failure("stopped", "It is stopped.", True)
TOXIC = {"name": "toxic", "kind": "detector", "detector": "toxicity", "labels": ["toxic"], "code": "toxic_language",
         "reads": ["text", "title"], "review": 0.5, "block": 0.7}  # fmt: skip
NSFW = {"name": "nsfw", "kind": "detector", "detector": "nsfw", "labels": ["nsfw"], "code": "nsfw_content",
        "reads": ["image"], "block": 0.8}  # fmt: skip
SPAM = {"name": "spam", "kind": "words", "entries": ["casino"], "code": "spam", "effect": "review"}


def rules(*listed, **more):
    return read_rules({"rules": list(listed), **more})


def said(*found, version=3):
    return DetectorAnswer(version, "abc", list(found))


def findings(parts=("text",), language="", failures=(), **detectors):
    looked_at = {name: list(parts) for name in detectors}
    return Findings(list(parts), language, detectors, {}, dict(failures), looked_at)


@pytest.mark.parametrize(
    ("score", "ruling"),
    [
        (0.0, "allow"),
        (0.5, "allow"),
        (0.500001, "review"),
        (0.7, "review"),
        (0.700001, "block"),
        (1.0, "block"),
    ],
)
def test_cut_offs_are_strict(score, ruling):
    judgement = decide(rules(TOXIC), findings(toxicity=said(["text", "toxic", score, None])))

    assert judgement.ruling == ruling
    assert judgement.text_score == score
    if ruling != "allow":
        (one,) = judgement.evidence
        assert (one.rule, one.code, one.detector, one.version, one.label) == (
            "toxic", "toxic_language", "toxicity", 3, "toxic",
        )  # fmt: skip
        assert one.score > one.cut_off


def test_the_score_is_that_of_the_harmful_label():
    answer = said(["text", "safe", 0.99, None], ["text", "toxic", 0.01, None])

    assert decide(rules(TOXIC), findings(toxicity=answer)).text_score == 0.01


def test_a_note_names_the_violation_and_allows():
    note = {**TOXIC, "review": None, "block": None, "note": 0.0}

    judgement = decide(rules(note), findings(toxicity=said(["text", "toxic", 0.2, None])))

    assert judgement.ruling is Ruling.ALLOW
    assert [one.code for one in judgement.evidence] == ["toxic_language"]


def test_a_detector_that_failed_means_review():
    judgement = decide(rules(TOXIC), findings(failures=[("toxicity", DOWN)]))

    assert judgement.ruling is Ruling.REVIEW
    assert judgement.is_held
    assert [problem.source for problem in judgement.problems] == ["toxicity"]


def test_other_evidence_blocks_although_a_detector_failed():
    found = said(["text", "toxic", 0.9, None])
    judgement = decide(
        rules(TOXIC, NSFW), findings(("text", "image"), failures=[("nsfw", DOWN)], toxicity=found)
    )

    assert judgement.ruling is Ruling.BLOCK
    assert not judgement.is_held
    assert len(judgement.problems) == 1


def test_a_failure_in_shadow_changes_nothing():
    shadow = {**NSFW, "reads": ["text"], "state": "shadow"}
    clean = said(["text", "toxic", 0.1, None])

    judgement = decide(rules(TOXIC, shadow), findings(failures=[("nsfw", DOWN)], toxicity=clean))

    assert judgement.ruling is Ruling.ALLOW


def test_a_rule_in_shadow_is_evidence_that_decides_nothing():
    shadow = {**TOXIC, "state": "shadow"}
    other = {**TOXIC, "name": "other", "labels": ["worse"]}

    answer = said(["text", "toxic", 0.9, None], ["text", "worse", 0.1, None])
    judgement = decide(rules(shadow, other), findings(toxicity=answer))

    assert judgement.ruling is Ruling.ALLOW
    assert judgement.shadow_ruling is Ruling.BLOCK
    assert judgement.in_force == []
    assert [one.is_shadow for one in judgement.evidence] == [True]


def test_what_no_rule_looks_at_needs_a_person():
    texts = decide(rules(NSFW), findings(("text",)))
    pictures = decide(rules(TOXIC), findings(("text", "image"), toxicity=said()))

    assert [problem.code for problem in texts.problems] == ["text_not_covered"]
    assert [problem.code for problem in pictures.problems] == ["image_not_covered"]
    assert {texts.ruling, pictures.ruling} == {Ruling.REVIEW}


def test_a_rule_in_shadow_covers_nothing():
    judgement = decide(rules({**TOXIC, "state": "shadow"}), findings(toxicity=said()))

    assert [problem.code for problem in judgement.problems] == ["text_not_covered"]


class TestLanguages:
    ENGLISH = {**TOXIC, "languages": ["en"]}
    GERMAN = {**TOXIC, "name": "german", "detector": "giftig", "languages": ["de-AT"]}

    def test_only_the_detectors_of_the_language_are_asked(self):
        both = rules(self.ENGLISH, self.GERMAN)

        assert needed_detectors(both, findings(language="en")) == {"toxicity"}
        assert needed_detectors(both, findings(language="de")) == {"giftig"}

    def test_a_named_language_that_none_covers_means_review(self):
        judgement = decide(rules(self.ENGLISH, SPAM), findings(language="fi"))

        assert judgement.ruling is Ruling.REVIEW
        assert [problem.code for problem in judgement.problems if problem.source == "text"] == [
            "language_not_covered"
        ]
        assert not judgement.is_held

    def test_without_a_language_the_policys_default_counts(self):
        english = rules(self.ENGLISH, self.GERMAN, default_language="en")

        assert needed_detectors(english, findings()) == {"toxicity"}
        assert decide(english, findings(toxicity=said())).language == "en"

    def test_an_unknown_language_asks_all(self):
        assert needed_detectors(rules(self.ENGLISH, self.GERMAN), findings()) == {"toxicity", "giftig"}

    def test_a_detector_can_tell_the_language(self):
        told = rules(self.ENGLISH, self.GERMAN, language_detector="tongue")
        german = findings(tongue=said(["text", "de", 0.9, None], ["text", "en", 0.1, None]))

        assert needed_detectors(told, findings()) == {"tongue"}
        assert needed_detectors(told, german) == {"tongue", "giftig"}

    def test_a_language_detector_that_failed_means_review_by_all(self):
        told = rules(self.ENGLISH, language_detector="tongue")
        failed = findings(failures=[("tongue", DOWN)])

        assert needed_detectors(told, failed) == {"tongue", "toxicity"}
        failed.detectors["toxicity"] = said()
        failed.looked_at["toxicity"] = ["text"]
        assert decide(told, failed).ruling is Ruling.REVIEW


def test_what_was_never_asked_is_missing():
    assert decide(rules(TOXIC), findings()).missing == ("toxicity",)
    assert decide(rules(SPAM), findings()).missing == ("spam",)
    assert needed_lists(rules(SPAM), findings()) == list(rules(SPAM).list_rules)


def test_what_was_never_asked_means_review():
    for never in (decide(rules(NSFW), findings(("image",))), decide(rules(SPAM), findings())):
        assert never.ruling is Ruling.REVIEW
        assert [problem.code for problem in never.problems] == ["not_looked_at"]


def test_a_part_that_was_not_looked_at_means_review():
    answer = findings(("text", "title"), toxicity=said(["title", "toxic", 0.1, None]))
    answer.looked_at["toxicity"] = ["title"]

    judgement = decide(rules(TOXIC), answer)

    assert (judgement.ruling, judgement.missing) == (Ruling.REVIEW, ("toxicity",))


def test_a_version_without_the_rules_labels_means_review():
    answer = findings(toxicity=said(["text", "clean", 0.9, None], ["text", "nasty", 0.1, None]))

    judgement = decide(rules(TOXIC), answer)

    assert judgement.ruling is Ruling.REVIEW
    assert [problem.code for problem in judgement.problems] == ["no_such_label"]


def test_the_title_does_not_tell_the_language_of_the_text():
    told = rules(TOXIC, language_detector="tongue")
    answer = said(["title", "de", 0.99, None], ["text", "__label__en", 0.9, None])

    assert decide(told, findings(("title", "text"), tongue=answer, toxicity=said())).language == "en"


@pytest.mark.parametrize("tag", ["und", "mul", "zxx"])
def test_tags_that_name_no_language_leave_it_unknown(tag):
    told = rules({**TOXIC, "languages": ["en"]}, language_detector="tongue")

    assert needed_detectors(told, findings(tongue=said(["text", tag, 0.99, None]))) == {"tongue", "toxicity"}


def test_findings_are_the_same_after_they_were_stored():
    before = findings(
        ("text", "image 2"), "en", [("nsfw", DOWN)], toxicity=said(("text", "toxic", 0.1 + 0.2, (1, 2)))
    )

    after = Findings.from_bytes(before.to_bytes())

    assert after.to_bytes() == before.to_bytes()
    assert after.failures == before.failures
    assert decide(rules(TOXIC, NSFW), after) == decide(rules(TOXIC, NSFW), before)


def test_no_block_without_evidence_and_no_allow_after_a_failure():
    """100,000 decisions of random policies about random findings."""
    chance = random.Random(25)
    policies = [_random_policy(chance) for _ in range(200)]
    rulings = dict.fromkeys(Ruling, 0)
    for number in range(100_000):
        policy = policies[number % len(policies)]
        found = _random_findings(chance)
        judgement = decide(policy, found)
        rulings[judgement.ruling] += 1
        graver = [one for one in judgement.in_force if one.effect.ruling is judgement.ruling]
        if judgement.ruling is Ruling.BLOCK:
            assert graver
        for one in judgement.evidence:
            assert one.score > one.cut_off
        if judgement.ruling is Ruling.ALLOW:
            assert not judgement.problems
            for rule in policy.active:
                if rule.state == "on" and not rule.languages and rule.reads & set(found.parts):
                    assert rule.detector not in found.failures

    assert min(rulings.values()) > 1_000, rulings


def _random_policy(chance):
    listed = [
        {
            "name": f"rule-{number}",
            "kind": "detector",
            "detector": chance.choice(["a", "b", "c"]),
            "labels": chance.choice([[], ["x"], ["x", "y"]]),
            "code": chance.choice(["one", "two"]),
            "reads": chance.choice([["text"], ["image"], ["text", "title"]]),
            "languages": chance.choice([[], [], ["en"], ["de"]]),
            "state": chance.choice(["on", "on", "on", "shadow", "off"]),
            **dict(zip(("review", "block"), sorted([chance.random(), chance.random()]), strict=True)),
        }
        for number in range(chance.randint(1, 6))
    ]
    return rules(*listed, default_language=chance.choice(["", "en"]))


def _random_findings(chance):
    parts = chance.choice([["text"], ["image"], ["text", "image"], ["title", "text"]])
    made = Findings(parts, chance.choice(["", "", "en", "de", "fi"]))
    for name in "abc":
        if chance.random() < 0.1:
            made.failures[name] = DOWN
        else:
            made.looked_at[name] = parts
            made.detectors[name] = said(
                *([part, chance.choice("xyz"), chance.random() ** 2, None] for part in parts)
            )
    return made
