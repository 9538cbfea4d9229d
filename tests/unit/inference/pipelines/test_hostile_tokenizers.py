"""A tokenizer.json that is made to do harm is refused, or works and is quick: no crash, no panic, no other error."""

import base64
import json
import random
import time
from copy import deepcopy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.pipelines.errors import BadTokenizer, InvalidText
from inference.pipelines.tokenization import MAX_ID, TextTokenizer
from tests.support.tokenizers_of_tests import KINDS, SENTENCES, a_tokenizer

LIMIT_S = 2.0
SEQUENCE_A, CLS = {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[CLS]", "type_id": 0}}
PAIR = [SEQUENCE_A, {"Sequence": {"id": "B", "type_id": 0}}]
FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
BOMB = "(a+)+$"


def definition(kind="word_piece", **changes):
    """A good one, but for these changes; names are paths with double underscores."""
    content = json.loads(a_tokenizer(kind))
    for path, value in changes.items():
        *outer, name = path.split("__")
        place = content
        for step in outer:
            place = place[step]
        place[name] = value
    return content


def template(single, ids=(1,)):
    tokens = {"[CLS]": {"id": "[CLS]", "ids": list(ids), "tokens": ["[CLS]"] * len(ids)}}
    return {"type": "TemplateProcessing", "single": single, "pair": PAIR, "special_tokens": tokens}


def bert(**changes):
    return {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1], **changes}


def added(number, content="x"):
    return {"id": number, "content": content, **FLAGS}


def replace(pattern, content):
    return {"type": "Replace", "pattern": pattern, "content": content}


def sequence(*steps):
    return {"type": "Sequence", "normalizers": list(steps)}


def charsmap(index, texts):
    table = len(index).to_bytes(4, "little") + index + texts
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(table).decode()}


def nested(depth, step, *, name="normalizers"):
    for _ in range(depth):
        step = {"type": "Sequence", name: [step]}
    return step


def deep(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


HOSTILE = {
    "special id 10⁹": definition(post_processor=bert(sep=["[SEP]", 10**9])),
    "special id 2³²-1": definition(post_processor=bert(cls=["[CLS]", 2**32 - 1])),
    "template id 2³²-1": definition(post_processor=template([CLS, SEQUENCE_A], ids=[2**32 - 1])),
    "template of nothing": definition(
        post_processor=template([{"SpecialToken": {"id": "[NO]", "type_id": 0}}, SEQUENCE_A])
    ),
    "template without text": definition(post_processor=template([CLS])),
    "template with text 50 times": definition(post_processor=template([SEQUENCE_A] * 50)),
    "template with another text": definition(post_processor=template([PAIR[1]])),
    "200,000 special tokens": definition(post_processor=template([CLS] * 200_000 + [SEQUENCE_A])),
    "100 special tokens in one": definition(post_processor=template([CLS, SEQUENCE_A], ids=[1] * 100)),
    "growth 100⁸": definition(normalizer=sequence(*[replace({"String": "l"}, "l" * 100)] * 8)),
    "growth 2⁶⁰": definition(normalizer=sequence(*[replace({"String": "l"}, "ll")] * 60)),
    "growth by bytes": definition(normalizer=sequence(*[{"type": "ByteLevel"}] * 40)),
    "growth by a table": definition(normalizer=charsmap(b"\0" * 400, b"x" * 100_000 + b"\0")),
    "long content": definition(normalizer=replace({"String": "l"}, "l" * 5_000_000)),
    "replace nothing": definition(normalizer=replace({"String": ""}, "x")),
    "long prefix": definition(normalizer={"type": "Prepend", "prepend": "x" * 5_000_000}),
    "split at nothing": definition(
        pre_tokenizer={"type": "Split", "pattern": {"String": ""}, "behavior": "Isolated", "invert": False}
    ),
    "pieces of length 0": definition(pre_tokenizer={"type": "FixedLength", "length": 0}),
    "replace bomb": definition(normalizer=replace({"Regex": BOMB}, "")),
    "nested bomb": definition(normalizer=nested(7, replace({"Regex": BOMB}, ""))),
    "12 levels": definition(normalizer=nested(12, {"type": "NFC"})),
    "300 levels": definition(model__vocab={"[UNK]": 0}, version=deep(300)),
    "1,000 steps": definition(normalizer=sequence(*[{"type": "NFC"}] * 1_000)),
    "2⁸ steps": definition(normalizer=sequence(*[sequence(*[{"type": "NFC"}] * 16)] * 16)),
    "empty table": definition(normalizer={"type": "Precompiled", "precompiled_charsmap": ""}),
    "table of zeros": definition(normalizer=charsmap(b"\0" * 400, b"\0" * 400)),
    "no Base64": definition(normalizer={"type": "Precompiled", "precompiled_charsmap": "%%%"}),
    "table of 4 GiB": definition(normalizer={"type": "Precompiled", "precompiled_charsmap": "/" * 32}),
    "table of chance": definition(normalizer=charsmap(random.Random(1).randbytes(400), b"\xff" * 99)),
    "dropout": definition("byte_level", model__dropout=0.5),
    "word length 10⁶": definition(model__max_input_chars_per_word=10**6),
    "word length true": definition(model__max_input_chars_per_word=True),
    "word length 0": definition(model__max_input_chars_per_word=0),
    "long subword prefix": definition("byte_level", model__continuing_subword_prefix="x" * 3_000_000),
    "subword prefix nowhere": definition("byte_level", model__continuing_subword_prefix="xxxxxxxxxxxxxx"),
    "subword prefix inside a character": definition("byte_level", model__continuing_subword_prefix="\0"),
    "no unknown token": definition(model__unk_token="[NOPE]"),
    "unknown token of another type": definition(model__unk_token=[1]),
    "no words": definition(model__vocab={}),
    "words without unknown": definition(model={"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "[UNK]"}),
    "unknown id 10⁹": definition("unigram_nfkc", model__unk_id=10**9),
    "no unknown id": definition("unigram_nfkc", model__unk_id=None),
    "no scored words": definition("unigram_nfkc", model__vocab=[], model__unk_id=None),
    "scored words of other types": definition("unigram_nfkc", model__vocab=[["a"], 1, {}]),
    "id 10⁹": definition(model__vocab={"[UNK]": 0, "a": 10**9}),
    "id true": definition(model__vocab={"[UNK]": True}),
    "added id 10⁹": definition(added_tokens=[added(10**9)]),
    "200,000 added": definition(added_tokens=[added(1_000 + number, f"<x{number}>") for number in range(200_000)]),
    "long added": definition(added_tokens=[added(1_000, "ab" * 5_000_000)]),
    "added without id": definition(added_tokens=[{"content": "x"}]),
    "added of a number": definition(added_tokens=[added(1_000, 5)]),
    "merge of nothing": definition("byte_level", model__merges=[["a", "nowhere"]]),
}  # fmt: skip


def table_of_ligatures(longest=18):
    """With an index in which no character is found, so that texts stay as they are."""
    return charsmap(b"\0" * 1024, b"x" * longest + b"\0ffi\0")


# The steps of published tokenizers, by the models that they belong to
PUBLISHED = {
    "BERT": definition(post_processor=template([CLS, SEQUENCE_A])),
    "RoBERTa": definition(
        "byte_level", post_processor={"type": "RobertaProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1], "trim_offsets": True,
                                      "add_prefix_space": False},
    ),
    "XLM-R": definition(
        "unigram_nfkc", normalizer=sequence(table_of_ligatures(), replace({"Regex": " {2,}"}, " ")),
        pre_tokenizer={"type": "Sequence", "pretokenizers": [
            {"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        ]},
    ),
    "ALBERT": definition(
        "unigram_nfkc", normalizer=sequence(
            replace({"String": "``"}, '"'), replace({"String": "''"}, '"'), {"type": "NFKD"}, {"type": "StripAccents"},
            {"type": "Lowercase"}, table_of_ligatures(),
        ),
    ),
    "Llama 2": definition(
        "byte_level", normalizer=sequence({"type": "Prepend", "prepend": "▁"}, replace({"String": " "}, "▁")),
    ),
    "Llama 3": definition(
        "byte_level", pre_tokenizer={"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
             r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        ]},
        post_processor={"type": "Sequence", "processors": [
            {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
            template([CLS, SEQUENCE_A]),
        ]},
    ),
}  # fmt: skip


def merges_of_10_mib():
    """Every pair of 600 signs is a token."""
    signs = [chr(0x4E00 + number) for number in range(600)]
    merges = [[first, second] for first in signs for second in signs]
    words = [*signs, *("".join(pair) for pair in merges)]
    return definition(
        "byte_level", model__vocab={word: number for number, word in enumerate(words)}, model__merges=merges
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_at_once(name):
    data = json.dumps(HOSTILE[name]).encode()
    started = time.process_time()

    with pytest.raises(BadTokenizer):
        TextTokenizer.from_json(data)

    assert time.process_time() - started < LIMIT_S


@pytest.mark.parametrize("name", PUBLISHED)
def test_steps_of_published_tokenizers_are_accepted(name):
    tokenizer = TextTokenizer.from_json(json.dumps(PUBLISHED[name]).encode())

    assert all(tokens.used > 0 for tokens in tokenizer.tokenize(SENTENCES, max_tokens=64))


def test_merges_of_10_mib_are_read_quickly():
    """About three times as long as Python reads the JSON alone, on any machine."""
    data = json.dumps(merges_of_10_mib(), ensure_ascii=False, separators=(",", ":")).encode()
    started = time.process_time()
    json.loads(data)
    read = time.process_time()

    TextTokenizer.from_json(data)

    assert len(data) > 10 * 2**20
    assert time.process_time() - read < 40 * (read - started)  # minutes, if each merge were compared with all


def test_a_word_of_any_length_is_read_quickly():
    words = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3, "##a": 4}
    tokenizer = TextTokenizer.from_json(
        json.dumps(definition(model__vocab=words, model__max_input_chars_per_word=200)).encode()
    )
    started = time.process_time()

    tokenizer.tokenize([("a" * 200 + " ") * 500, "a" * 1_000_000], max_tokens=512)

    assert time.process_time() - started < LIMIT_S


def test_a_panic_on_a_callers_text_is_an_error_of_the_text():
    """The index of this table ends before the first byte of Cyrillic letters."""
    content = definition(normalizer=charsmap(b"\0" * 800, b"x\0"))
    tokenizer = TextTokenizer.from_json(json.dumps(content).encode())

    with pytest.raises(InvalidText, match="tokenizer cannot read"):
        tokenizer.tokenize(["Привет"], max_tokens=8)
    assert tokenizer.tokenize(["Ann Lee"], max_tokens=8)[0].used > 2


def test_words_are_divided_at_ends_of_lines_only():
    """Python's splitlines also divides at these, and would move the ids of all words after them."""
    words = "[UNK]\n[CLS]\n[SEP]\n\u2028\n\x85\n\x1c\nend\r\n"

    tokenizer = TextTokenizer.from_word_pieces(words.encode(), lower_case=True)

    assert tokenizer.tokenize(["end"], max_tokens=8)[0].windows[0].ids.tolist() == [1, 6, 2]


STEPS = {
    "normalizer": sequence(
        replace({"String": "``"}, '"'), {"type": "Prepend", "prepend": "▁"}, {"type": "NFKD"}, {"type": "Lowercase"}
    ),
    "post_processor": template([CLS, SEQUENCE_A]),
    "added_tokens": [added(3, "[PAD]"), added(600, "<x>")],
}  # fmt: skip
BASES = [json.loads(a_tokenizer(kind)) for kind in KINDS] + [
    definition(**STEPS),
    definition("byte_level", **STEPS),
]
STRANGE = [
    None, True, False, -1, 0, 1, 3, 10**9, 2**32 - 1, 2**32, 2**63, 1.5, 1e308, "", "a", "\0", "l" * 3_000, "[UNK]", [], {},
    [[]], [None], {"type": "NFKC"}, {"type": "Sequence", "normalizers": [{}]}, {"Regex": BOMB}, {"String": ""}, [["a", -1.0]],
    {"a": 0}, ["a", "b"], [["a", "b"]], {"type": "Precompiled", "precompiled_charsmap": "AAAA"}, {"type": "ByteLevel"},
]  # fmt: skip


def places(value):
    """Containers and keys of everything inside, with few of each long one."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    for key in keys[:12]:
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from places(value[key])


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_strange_values_anywhere(data):
    content = deepcopy(BASES[data.draw(st.integers(0, len(BASES) - 1))])
    for _ in range(data.draw(st.integers(1, 3))):
        found = list(places(content))
        if not found:
            break
        container, key = found[data.draw(st.integers(0, len(found) - 1))]
        container[key] = deepcopy(data.draw(st.sampled_from(STRANGE)))
    started = time.process_time()

    try:
        tokenizer = TextTokenizer.from_json(json.dumps(content).encode())
        answers = tokenizer.tokenize([*SENTENCES, "", "[CLS]``l<x>"], max_tokens=tokenizer.special_tokens + 8)
    except (BadTokenizer, InvalidText):
        answers = []

    assert time.process_time() - started < LIMIT_S
    assert all(window.ids.max(initial=0) <= 2 * MAX_ID for answer in answers for window in answer.windows)
