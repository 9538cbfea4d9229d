import pytest

from registry.kit.admin.facts import config_in_words, duration, readable, settings_in_words, short, size


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"load_s": 0.25}, [("load", "250 ms")]),
        ({"footprint_bytes": 2048}, [("footprint", "2 KiB")]),
        ({"p99_ms": 1.23456}, [("p99", "1.235 ms")]),
        ({"is_quantized": True}, [("quantized", "yes")]),
        ({"nodes": 12345}, [("nodes", "12,345")]),
        ({"options_digest": "a" * 64}, [("options digest", "a" * 12)]),
        ({"operators": {"Add": 2, "Gemm": 1}}, [("operators", "Add 2, Gemm 1")]),
        ({"ops": list("abcdefghij")}, [("ops", "a, b, c, d, e, f, g, h and 2 more")]),
        ({"a": None, "b": "", "c": [], "d": {}, "profile": [1], "inputs": [1]}, []),
        ({"a": 0}, [("a", "0")]),
    ],
    ids=["seconds", "bytes", "milliseconds", "bool", "count", "hash", "dict", "long list", "nothing", "zero"],
)
def test_facts_are_readable(facts, told):
    assert readable(facts) == told


def test_there_is_an_end():
    assert len(readable({f"fact {number}": 1 for number in range(1000)})) == 24


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.000412, "0.41 ms"), (0, "0 ms"), (0.0124, "12 ms"), (3.21, "3.2 s"), (125, "2 min 5 s")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (2**20 - 1, "1 MiB"),
        (64 * 2**20, "64 MiB"),
        (5 * 2**40, "5 TiB"),
        (5000 * 2**40, "5,000 TiB"),
    ],
)
def test_sizes(count, text):
    assert size(count) == text


def test_long_values_are_cut():
    assert short("a" * 1000, 10) == "a" * 10 + "…"
    assert short({"x": [1, 2.5, None, True]}) == '{"x":[1,2.5,null,true]}'


def test_settings_say_their_units_and_what_is_not_set():
    told = settings_in_words({"target_p99_ms": None, "max_wait_ms": 0.5, "providers": ["A", "B"]})

    assert told == [("target p99", "default"), ("max wait", "0.5 ms"), ("providers", "A, B")]


def test_a_task_configuration_is_short():
    config = {
        "labels": [f"label {number}" for number in range(100)],
        "max_tokens": 512,
        "lower_case": True,
        "patterns": [{"E_MAIL": "\\S+@\\S+"}],
    }

    assert config_in_words(config) == [
        ("labels", ", ".join(f"label {number}" for number in range(8)) + " and 92 more"),
        ("max tokens", "512"),
        ("lower case", "yes"),
        ("patterns", "E_MAIL = \\S+@\\S+"),
    ]
