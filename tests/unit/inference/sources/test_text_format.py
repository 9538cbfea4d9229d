"""Protobuf's text format, read as protobuf reads it, and refused where it would take too much."""

import pytest

from inference.sources.text_format import MAX_BYTES, TextMessage, read_text_format
from registry.errors import Invalid

CONFIG = rb"""
# A model
name: "res\"net\x41\101" 'x'
max_batch_size : 0x10,
input [ { name: "x" dims: [ 3, -1 ] }, { name: "y", dims: [] } ]
output < name: "o"; label_filename: "labels.txt" >
dynamic_batching { max_queue_delay_microseconds: 100 }
dynamic_batching { preserve_ordering: true }
parameters { key: "a" value: { string_value: "2" } }
parameters: { key: "b" value: "3" }
share: 1.5f
octal: 010
"""


def read(content):
    return read_text_format(content, "config.pbtxt")


def test_a_message_with_all_kinds_of_values():
    message = read(CONFIG)

    assert (message.text("name"), message.whole("max_batch_size")) == ('res"netAAx', 16)
    assert [each.wholes("dims") for each in message.messages("input")] == [[3, -1], []]
    assert message.message("output").text("label_filename") == "labels.txt"
    assert message.parameters("parameters") == {"a": "2", "b": "3"}
    assert (message.fields["share"], message.whole("octal")) == ([1.5], 8)


def test_a_message_that_is_repeated_is_one_and_of_two_values_the_last_counts():
    message = read(CONFIG)

    both = message.message("dynamic_batching")
    assert (both.whole("max_queue_delay_microseconds"), both.text("preserve_ordering")) == (100, "true")
    assert read(b"a: 1 a: 2").whole("a") == 2
    assert (TextMessage().text("a"), TextMessage().whole("a"), TextMessage().message("a").fields) == (
        "",
        None,
        {},
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a", "Line 1"),
        (b"\n\na:", "Line 3"),
        (b"a {", "field's name"),
        (b"}", "field's name"),
        (b"a: 1x", "cannot be read"),
        (b'a: "b', "cannot be read"),
        (b'a "b"', "value is expected"),
        (b"a: [1 2]", "',' is expected"),
        (b"a: [", "value is expected"),
        (b"[x.y]: 1", "field's name"),
        (b'a: "\\xff"', "not UTF-8"),
        (b"\xff", "not UTF-8"),
        (b"a {" * 40, "nested more than 32"),
        (b"a: 1 " * 100_000, "more than 200,000"),
        (b"#" * (MAX_BYTES + 1), "at most"),
        (b"a: " + b"9" * 1000, "cannot be read"),
    ],
)
def test_what_is_refused(content, said):
    with pytest.raises(Invalid, match=said):
        read(content)


def test_a_value_of_another_kind_is_not_taken_for_the_field():
    message = read(b'max_batch_size: "8" name: 4 input: 3')

    for ask in (
        lambda: message.whole("max_batch_size"),
        lambda: message.text("name"),
        lambda: message.messages("input"),
    ):
        with pytest.raises(Invalid, match="another kind"):
            ask()
