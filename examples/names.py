"""The example `names`: people, places and organisations in a text.

Each word has a kind: a first name, a city, a title, a capitalised word that is unknown, and so on. A word's label depends on
its own kind and on those of three words before and after it. How much each pair of kinds counts is fitted to sentences that
this script puts together.
"""

import re

import numpy as np
import word_lists as lists
from linear_models import softmax, sums
from onnx import TensorProto, helper
from saving import constant, floats, integers, save, whole
from word_lists import words

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG"]
DISTANCES = (-3, -2, -1, 1, 2, 3)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
SENTENCES = 16_000
LETTERS = "abcdefghijklmnopqrstuvwxyzàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿßąćčďęěğłńňőřśşšťůűźżžœ"
CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝĄĆČĎĘĚĞŁŃŇŐŘŚŞŠŤŮŰŹŻŽŒ"
PUNCTUATION = [*".,!?:;()\"'’-&/“”„–"]

# What a word is; the first is for where there is none. The lists of a later kind win over those of an earlier one.
KINDS = {
    "edge": ["[PAD]", "[CLS]", "[SEP]"],
    "unknown": ["[UNK]"],
    "word": words(" ".join([lists.COMMON, lists.THINGS, lists.GOOD, lists.BAD, lists.STRONGER])),
    "deed": words(lists.DEEDS),
    "in": ["in", "near", "to", "at", "towards", "around", "outside", "inside", "across", "into"],
    "from": ["from"], "of": ["of"], "the": ["the", "a", "an"], "and": ["and", "or", "with"],
    "by": ["by", "for", "that", "dear", "hello", "hi", "because", "when"],
    "day": words((lists.DAYS + " " + lists.MONTHS).title()),
    "people": words(lists.PEOPLES),
    "place end": words(lists.PLACE_ENDINGS), "place start": words(lists.PLACE_STARTS),
    "organisation start": words(lists.ORG_STARTS), "organisation end": words(lists.ORG_ENDINGS),
    "title": words(lists.TITLES),
    "surname": words(lists.SURNAMES), "first name": words(lists.FIRST_NAMES),
    "city": words(lists.CITIES), "country": words(lists.COUNTRIES),
    "person or place": words(lists.PERSON_OR_PLACE), "organisation": words(lists.COMPANIES),
    "comma": [","], "stop": [*".!?:;()\"“”„–"], "hyphen": ["-", "&", "/"], "apostrophe": ["'", "’"],
    "number": [*"0123456789"],
    "sentence word": [],  # a common word with a capital, as at the start of a sentence
    "capitalised": [], "capitals": [], "initial": [], "lower case": [],  # words that no list has
}  # fmt: skip
NUMBER_OF = {kind: number for number, kind in enumerate(KINDS)}

SLOTS = {
    kind: values
    for kind, values in KINDS.items()
    if kind not in {"edge", "unknown", "capitalised", "capitals", "lower case"}
} | {
    "the": ["the", "a"], "and": ["and"], "in": ["in", "near", "to", "at"], "by": ["by", "for", "that"], "stop": [".", "!", "?"],
    "initial": [*"ABCDEFGHJKLMNPRSTW"],
    "number": ["1", "12", "1990", "2021", "40"],
    "capitalised": ["Xyzzil", "Qorvath", "Blimwick", "Zandru", "Vexley"],
    "capitals": ["QXZ", "VTKB"],
    "lower case": ["zorp", "quibbled", "frimmed"],
    "sentence word": words(
        "The He She It We They Yesterday When There Our My In But And This From Have Please Where Last "
        "After Every Today Then Water Send Good"
    ),
}  # fmt: skip

# A label stands before the words that have it
NAMES = {
    "PER": """
        {first name} {surname} | {first name} {surname} | {first name} | {first name} | {first name} {capitalised}
        {surname} | {first name} {capitalised} | {first name} {initial} . {surname} | {initial} . {surname}
        {first name} - {first name} {surname} | {capitalised} {surname} | {first name} {first name} {surname}
        {initial} ' {capitalised} | {first name} {initial} ' {surname} | {initial} . {initial} . {surname}
        {first name} {surname} - {surname} | {person or place} {surname} | {capitalised} {capitalised} | {capitalised}
        {first name} {sentence word} | {first name} {sentence word} | {capitalised} {initial} ' {surname}
        {capitalised} {initial} ' {capitalised} | {first name} - {capitalised} {surname}
        {first name} - {first name} {capitalised} | {first name} - {capitalised} {capitalised}
    """,
    "LOC": """
        {city} | {city} | {city} | {country} | {country} | {person or place} | {place start} {city} | {capitalised}
        {place start} {capitalised} | {capitalised} {place end} | {surname} {place end} | {city} {place end}
        {place start} {country} | {place start} {place start} {capitalised} | {place end} {capitalised}
        {place start} {first name}
    """,
    "ORG": """
        {organisation} | {organisation} | {organisation} {organisation end} | {capitalised} {organisation end} | {capitals}
        {capitalised} {capitalised} {organisation end} | {surname} {organisation end} | {city} {organisation end}
        {surname} {hyphen} {surname} {organisation end} | {organisation start} of {city} | {organisation start} of {country}
        {capitalised} {organisation end} {organisation end} | {people} {organisation end}
        {organisation start} of {capitalised} | {organisation start} {organisation end} of {city}
        {sentence word} {organisation end} {organisation end} | {organisation} | {organisation start} {organisation end}
        {country} {organisation end} | {organisation end} {organisation end} of {country}
        {surname} and {surname} {organisation end} | {organisation end} of {city}
        {place start} {capitalised} {organisation end}
    """,
}
TEMPLATES = """
    PER {deed} PER in LOC . | PER {deed} PER in LOC on {day} . | PER and PER {deed} in LOC .
    {title} PER {deed} {the} {word} . | {title} . PER works for ORG in LOC . | PER works at ORG .
    PER , who lives in LOC , {deed} PER . | PER was born in LOC in {number} . | ORG opened {the} {word} in LOC .
    ORG and ORG {word} in LOC , LOC and LOC . | {the} {word} of ORG {word} PER . | ORG {word} PER .
    {sentence word} {word} {the} {word} {in} {the} {word} . | {sentence word} {deed} PER yesterday .
    {sentence word} {word} LOC and LOC . | {sentence word} {word} from LOC to LOC .
    {sentence word} {word} {in} LOC with PER . | {sentence word} {word} by PER for ORG .
    {capitalised} {word} {the} {word} . | {capitalised} {word} {word} . | {lower case} {word} {lower case} .
    {word} {word} {word} {stop} | {sentence word} {people} {word} {deed} {the} {word} on {day} .
    {people} {word} {word} in {day} . | {sentence word} {word} {day} . | PER ' s {word} is {in} LOC .
    LOC ' s {word} {word} . | ORG ' s {word} {deed} that {the} {word} {word} . | {day} , {number} {day}
    Dear PER , {sentence word} {word} | Hello PER ! | Hi PER , {word} {word} ? | {by} PER {stop}
    LOC , {number} {day} {number} | PER ( ORG ) {deed} : " {sentence word} {word} "
    {the} {word} in LOC , {the} {word} of LOC | {word} , {word} and {word} {in} LOC . | {sentence word} {word} {in} ORG
    {sentence word} {word} {in} {the} ORG in LOC | {the} ORG {word} | at ORG , PER {deed} {word}
    PER {deed} ORG {in} {number} . | PER , PER and PER {deed} {word} {word} . | {number} LOC , LOC | PER | LOC | ORG
    {sentence word} {word} {number} {word} {and} {the} {lower case} {word} .
    {sentence word} {word} {organisation end} {word} {word} . | {sentence word} , {sentence word} {word} {word} {stop}
    {the} {word} - {word} {word} {word} . | {word} {word} - {word} , {word} | {sentence word} - {word} {word}
    {number} - {number} | {capitals} - {number} {word} | {initial} - {number}
    {sentence word} {number} - {number} - {number} {word}
    {initial} {word} {the} {word} . | {capitals} | {title} PER {deed} {title} PER | {sentence word} PER {word}
    {sentence word} {title} PER {word} {in} LOC | {sentence word} LOC , {word} | {sentence word} ORG {word}
    {title} PER {stop} | {sentence word} {word} {title} PER {stop} | {sentence word} {word} in LOC , LOC .
    PER , {number} LOC , LOC | ORG {word} {the} {word} {in} LOC , LOC . | LOC , LOC | PER visited LOC , LOC
    {word} to PER , {number} LOC , LOC | PER ( LOC ) | LOC ( LOC ) | PER and PER | LOC and LOC | {number} LOC , LOC
    PER and PER {word} | PER lives in LOC and works for ORG . | {the} {word} moved {from} LOC to LOC , LOC .
    {word} for ORG | {word} by ORG in LOC | {the} {word} flew {from} LOC {in} LOC with ORG . | I {deed} PER
    I {word} in LOC | {title} PER | {sentence word} {word} , {word} .
"""


def make_names():
    vocabulary = _vocabulary()
    kinds = np.array([_kinds(word) for word in vocabulary])
    tables, bias = _fit({word: number for number, word in enumerate(vocabulary)}, kinds)
    known = sum(not word.startswith("##") for word in vocabulary) - len(SPECIAL)
    save(
        "names",
        _graph(vocabulary, kinds, tables, bias),
        title="Names in a text",
        notes="Finds people, places and organisations in English texts, by lists of names and by the words around them; regular "
        f"expressions find e-mail addresses, phone numbers, and numbers of customers or documents (ID). It was fitted to "
        f"{SENTENCES:,} sentences that a script put together from lists of {known:,} words: an example for trying out the "
        "product, not for real use. Do not rely on it to find or remove personal data.",
        sample={
            "text": "Ada Lovelace met Charles Babbage in London. Write to ada@example.org or call +44 20 7946 0123."
        },
        task="entities",
        task_config={
            "labels": LABELS,
            "output": "logits",
            "lower_case": False,
            "grouping": "first",
            "max_tokens": 256,
            "patterns": [
                {"EMAIL": r"\b[\w.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,4}\b"},
                {"PHONE": r"(?<![\w.])(?:\+|00|\(?0)\d[\d()]{0,5}(?:[ /.-]?\(?\d{2,5}\)?){2,5}(?!\w)"},
                {"ID": r"(?<![\w-])(?=[0-9-]*[A-Z])(?:[A-Z-]*\d){5,30}(?:-?[A-Z]{1,3})?(?![\w-])"},
                {"ID": r"(?<![\w.,+-])[1-9]\d{6,11}(?![\w-])"},
            ],
        },
        files={"vocab.txt": "".join(f"{word}\n" for word in vocabulary)},
    )


def _vocabulary():
    """Listed words, also with a capital; and letters, of which all other words are made."""
    listed = {word for kind in KINDS.values() for word in kind} | {
        word for slot in SLOTS.values() for word in slot
    }
    listed = {word for word in listed if not set(word) - set(LETTERS + CAPITALS)} - {
        *SLOTS["capitalised"],
        *SLOTS["lower case"],
    }
    listed -= set(SLOTS["capitals"])
    listed |= {word.capitalize() for word in _common_words()} | {
        *LETTERS,
        *CAPITALS,
        *"0123456789",
        *PUNCTUATION,
    }
    pieces = {f"##{letter}" for letter in [*LETTERS, *CAPITALS, *"0123456789"]}
    return [*SPECIAL, *sorted(listed), *sorted(pieces)]


def _common_words():
    return [word for kind in ("word", "deed", "in", "from", "of", "the", "and", "by") for word in KINDS[kind]]


def _kinds(word):
    """The kind of the word; and of words that begin with it, and continue in lower case or in capitals."""
    kind = next((name for name in reversed(KINDS) if word in KINDS[name]), "")
    is_capital = word[0] in CAPITALS
    if not kind and is_capital and word.lower() in _common_words():
        kind = "sentence word"
    if is_capital and len(word) == 1 and word not in "AI":
        kind = "initial"
    kind = kind or ("capitalised" if is_capital else "lower case")
    if not is_capital:
        return [NUMBER_OF[kind], *[NUMBER_OF["number" if kind == "number" else "lower case"]] * 2]
    return [NUMBER_OF[kind], NUMBER_OF["capitalised"], NUMBER_OF["capitals"]]


def _sentences(random):
    """Lists of pairs: a word and its label."""
    templates = _alternatives(TEMPLATES)
    names = {kind: _alternatives(text) for kind, text in NAMES.items()}

    def pick(values):
        return values[random.integers(len(values))]

    def fill(text):
        return re.sub(r"{([\w ]+)}", lambda slot: pick(SLOTS[slot[1]]), text).split()

    for _ in range(SENTENCES):
        sentence = []
        for part in re.findall(r"{[\w ]+}|\S+", pick(templates)):
            if part in names:
                inner = fill(pick(names[part]))
                sentence += [(word, f"{'I' if place else 'B'}-{part}") for place, word in enumerate(inner)]
            else:
                sentence += [(word, "O") for word in fill(part)]
        yield sentence


def _alternatives(text):
    return re.split(r"\s*[|\n]\s*", text.strip())


def _fit(ids, kinds):
    """Fit by gradient descent whose steps get smaller for numbers that were changed much."""
    rows, labels = [], []
    for sentence in _sentences(np.random.default_rng(5)):
        of_words = [_kind_of(word, ids, kinds) for word, _ in sentence]
        padded = [0, 0, 0, *of_words, 0, 0, 0]
        for place, (_, label) in enumerate(sentence):
            rows.append(padded[place : place + 7])
            labels.append(LABELS.index(label))
    around = np.array(rows)
    columns = [around[:, 3] * len(KINDS) + around[:, 3 + distance] for distance in DISTANCES]
    target = np.eye(len(LABELS))[labels]
    tables = np.zeros((len(DISTANCES), len(KINDS) ** 2, len(LABELS)))
    bias = np.zeros((len(KINDS), len(LABELS)))
    changed, bias_changed = np.full(tables.shape, 1e-8), np.full(bias.shape, 1e-8)
    for _ in range(100):
        scores = bias[around[:, 3]] + sum(
            table[column] for table, column in zip(tables, columns, strict=True)
        )
        error = (softmax(scores) - target) / len(target)
        slopes = np.stack([sums(column, error, len(KINDS) ** 2) for column in columns]) + 1e-6 * tables
        changed += slopes**2
        tables -= 0.3 * slopes / np.sqrt(changed)
        slope = sums(around[:, 3], error, len(KINDS))
        bias_changed += slope**2
        bias -= 0.3 * slope / np.sqrt(bias_changed)
    return tables, bias


def _kind_of(word, ids, kinds):
    if word in ids:
        return kinds[ids[word], 0]
    if word.isdigit():
        return NUMBER_OF["number"]
    return kinds[ids[word[0]], 2 if word.isupper() else 1]


def _graph(vocabulary, kinds, tables, bias):
    """Put the kinds of words beside each other, one column for each word; look up the pairs; give each piece the scores."""
    node = helper.make_node
    continues = [
        (1 if word[2] not in CAPITALS else 2) * word.startswith("##")
        for word in map("{:3}".format, vocabulary)
    ]
    nodes = [
        node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        node("Gather", ["continues", "input_ids"], ["pieces"]),
        node("Mul", ["pieces", "attention_mask"], ["real_pieces"]),
        # How the piece after each goes on: 0 a new word, 1 in lower case, 2 in capitals
        node("Pad", ["real_pieces", "one_after"], ["longer"]),
        node("Slice", ["longer", "one", "end", "one"], ["next_pieces"]),
        node("Mul", ["input_ids", "three"], ["row"]),
        node("Add", ["row", "next_pieces"], ["row_and_next"]),
        node("Gather", ["kinds", "row_and_next"], ["kinds_of_pieces"]),
        # The first piece of a word tells the word's kind
        node("Equal", ["real_pieces", "nought"], ["is_first"]),
        node("Cast", ["is_first"], ["first"], to=TensorProto.FLOAT),
        node("Mul", ["first", "mask"], ["real_first"]),
        node("CumSum", ["real_first", "axis"], ["words_so_far"]),
        node("Cast", ["words_so_far"], ["word"], to=TensorProto.INT64),
        node("Add", ["word", "three"], ["place"]),
        node("Mul", ["kinds_of_pieces", "real_first"], ["kinds_of_words"]),
        node("Pad", ["mask", "seven_after"], ["wide"]),
        node("Mul", ["wide", "no"], ["empty"]),
        node("ScatterElements", ["empty", "place", "kinds_of_words"], ["lined_up"], axis=1, reduction="add"),
        node("Cast", ["lined_up"], ["line"], to=TensorProto.INT64),
        node("GatherElements", ["line", "place"], ["kind"], axis=1),
        node("Gather", ["bias", "kind"], ["scores_0"]),
        node("Mul", ["kind", "width"], ["pair_row"]),
    ]
    for number in range(len(DISTANCES)):
        nodes += [
            node("Add", ["place", f"distance_{number}"], [f"place_{number}"]),
            node("GatherElements", ["line", f"place_{number}"], [f"kind_{number}"], axis=1),
            node("Add", ["pair_row", f"kind_{number}"], [f"pair_{number}"]),
            node("Gather", [f"table_{number}", f"pair_{number}"], [f"part_{number}"]),
            node("Add", [f"scores_{number}", f"part_{number}"],
                 [f"scores_{number + 1}" if number + 1 < len(DISTANCES) else "logits"]),
        ]  # fmt: skip
    return helper.make_graph(
        nodes,
        "names",
        [integers("input_ids", "rows", "tokens"), integers("attention_mask", "rows", "tokens")],
        [floats("logits", "rows", "tokens", len(LABELS))],
        [
            constant("kinds", kinds.reshape(-1)),
            constant("bias", bias),
            constant("no", 0.0),
            *(constant(f"table_{number}", table) for number, table in enumerate(tables)),
            *(whole(f"distance_{number}", distance) for number, distance in enumerate(DISTANCES)),
            whole("continues", continues),
            whole("one_after", [0, 0, 0, 1]),
            whole("seven_after", [0, 0, 0, 7]),
            whole("one", [1]),
            whole("end", [np.iinfo(np.int64).max]),
            whole("three", 3),
            whole("nought", 0),
            whole("axis", 1),
            whole("width", len(KINDS)),
        ],
    )
