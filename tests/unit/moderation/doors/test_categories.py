"""The categories of labels that are not mapped, and of policies' codes."""

from moderation.doors.categories.protocols import (
    CATEGORIES,
    ForeignProtocol,
    category_named,
    usual_categories,
)
from moderation.doors.categories.table import CategoryTable, categories_fed, read_mappings


def test_openai_has_its_thirteen_categories():
    assert len(set(CATEGORIES[ForeignProtocol.OPENAI])) == 13


def test_each_category_is_found_by_its_name_however_it_is_written():
    for protocol, categories in CATEGORIES.items():
        for category in categories:
            for name in (
                category,
                category.lower(),
                category.upper().replace("/", "_"),
                category.replace("-", " "),
            ):
                assert category_named(protocol, name) == category
                assert usual_categories(protocol, name) == (category,)


def test_labels_of_well_known_models():
    expected = {
        ("openai", "nsfw"): ("sexual",),
        ("openai", "Hate_Speech"): ("hate",),
        ("perspective", "toxic"): ("TOXICITY",),
        ("perspective", "severe_toxic"): ("SEVERE_TOXICITY",),
        ("perspective", "obscene"): ("PROFANITY",),
        ("openai", "toxic"): (),
        ("openai", "sfw"): (),
        ("perspective", "non-toxic"): (),
        ("openai", ""): (),
    }
    for (protocol, label), categories in expected.items():
        assert usual_categories(protocol, label) == categories, label


def test_a_mapped_label_has_only_its_mappings():
    rows = [
        ("openai", "a", "nsfw", "violence"),
        ("openai", "a", "nsfw", "hate"),
        ("openai", "b", "nsfw", ""),
    ]
    table = CategoryTable(read_mappings(rows))

    assert table.categories_of("openai", "a", "nsfw") == ("violence", "hate")
    assert table.categories_of("openai", "b", "nsfw") == ()
    assert table.categories_of("openai", "c", "nsfw") == ("sexual",)
    assert table.categories_of("perspective", "a", "nsfw") == ("SEXUALLY_EXPLICIT",)


def test_what_a_detector_feeds_is_known_from_its_labels():
    table = CategoryTable(read_mappings([("openai", "a", "rude", "harassment")]))

    assert categories_fed(table, "openai", "a", ("rude", "sexual", "safe")) == {"harassment", "sexual"}
