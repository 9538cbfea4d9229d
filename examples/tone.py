"""The example `tone`: is a sentence positive, neutral or negative?

Each word has three weights, one for each label, and three others where a negator such as "not" comes shortly before it.
A sentence's scores are the sums of its words' weights. They are fitted to sentences that this script puts together.
"""

import re

import numpy as np
import word_lists as lists
from linear_models import softmax, sums
from saving import save
from word_lists import words
from word_sums import SPECIAL, columns, graph_of_sums

LABELS = ["negative", "neutral", "positive"]
REACH = 3  # how many words after it a negator changes
NEGATIVE, NEUTRAL, POSITIVE = range(3)
SENTENCES = 40_000

# Words that are not neutral, whatever other list they are in
OPINIONS = frozenset(words(" ".join([
    lists.GOOD, lists.BAD, lists.LIKE, lists.DISLIKE, lists.PLEASED, lists.DISPLEASED, lists.PRAISE, lists.BLAME, lists.FAULTS,
    lists.GOOD_MANNER, lists.BAD_MANNER, lists.NEGATORS,
])))  # fmt: skip
SLOTS = {
    "good": words(lists.GOOD), "bad": words(lists.BAD),
    "like": words(lists.LIKE), "dislike": words(lists.DISLIKE),
    "pleased": words(lists.PLEASED), "displeased": words(lists.DISPLEASED),
    "praise": words(lists.PRAISE), "blame": words(lists.BLAME), "fault": words(lists.FAULTS),
    "goodly": words(lists.GOOD_MANNER), "badly": words(lists.BAD_MANNER),
    "very": words(lists.STRONGER), "thing": words(lists.THINGS), "day": words(lists.DAYS + " " + lists.MONTHS),
    "common": [word for word in words(lists.COMMON) if word not in OPINIONS],
    "not": ["not", "n ' t", "never", "not at all", "hardly", "no longer", "not that", "not a", "not really"],
    "is": ["is", "was", "are", "were", "seems", "looks", "felt"],
    "the": ["the", "this", "my", "our", "your", "their"],
}  # fmt: skip

PRAISING, BLAMING = (
    ("good", "like", "pleased", "praise", "goodly"),
    ("bad", "dislike", "displeased", "blame", "fault", "badly"),
)

TEMPLATES = {
    POSITIVE: """
        {the} {thing} {is} {good} | {the} {thing} {is} {very} {good} and the {thing} {is} {good} | what a {good} {thing}
        i {like} {the} {thing} | we {very} {like} it , {the} {thing} {is} {good} | i am {very} {pleased} with {the} {thing}
        {good} {thing} , {good} {thing} | it was a {praise} to {common} here | {the} {thing} is a {praise}
        {praise} for {the} {thing} | we were {pleased} , the {thing} was {good} value for money
        {the} {thing} works {goodly} | {the} {thing} went {goodly} | i would {like} it to everyone
        i will come back , {good} {thing} | {the} {thing} {is} {not} {bad} | it isn ' t {bad}
        nothing {bad} about {the} {thing} | {the} {thing} never {fault} | i have no {fault} | i was not {displeased}
        i do not {dislike} {the} {thing} | {common} {common} {good} {common} {common} | {common} {like} {common} {thing}
        {good} | {praise} | {very} {good} | {pleased} | i ' m so {pleased} | [UNK] {good} [UNK] | the [UNK] {is} {good}
        {good} [UNK] ever | highly recommended | {the} {thing} could not be better | we could not be happier
        everything was {good} | {good} {common} | they were {good} and {good} | no problems | {common} worked {goodly}
        [UNK] {like} [UNK] | i {like} {common}
    """,
    NEGATIVE: """
        {the} {thing} {is} {bad} | {the} {thing} {is} {very} {bad} and the {thing} {is} {bad} | what a {bad} {thing}
        i {dislike} {the} {thing} | we {very} {dislike} it , {the} {thing} {is} {bad}
        i am {very} {displeased} with {the} {thing} | {bad} {thing} , {bad} {thing} | it was a {blame} to {common} here
        {the} {thing} is a {blame} | {the} {thing} {fault} | {bad} {thing} , i want my money back | i want a refund
        {the} {thing} {fault} after one day | {the} {thing} went {badly} | i would {not} {like} it
        i will not come back , {bad} {thing} | {the} {thing} {is} {not} {good} | it isn ' t {good}
        nothing {good} about {the} {thing} | {the} {thing} does not work | {the} {thing} did not arrive | it doesn ' t work
        i am not {pleased} | i do not {like} {the} {thing} | it is not worth it | not worth the money
        {the} {thing} never worked | it did not go {goodly} | {common} {common} {bad} {common} {common}
        {common} {dislike} {common} {thing} | it was no {praise} | {bad} | {blame} | {very} {bad} | {displeased}
        i ' m so {displeased} | [UNK] {bad} [UNK] | the [UNK] {is} {bad} | {bad} [UNK] ever | not recommended
        i do {not} recommend | i don ' t recommend {the} {thing} | everything was {bad} | {bad} {common}
        they were {bad} and {bad} | nobody helped us | {common} {fault} | many problems | [UNK] {dislike} [UNK]
        i {dislike} {common} | {the} {thing} {fault} every time | {bad} {thing} i have ever stayed in
        {the} {thing} {is} {bad} and {fault} | i am {displeased}
    """,
    NEUTRAL: """
        {the} {thing} arrived on {day} | {the} {thing} is in {the} {thing} | we went to the {thing} on {day}
        where is {the} {thing} | {the} {thing} opens on {day} | i bought {the} {thing} in {day}
        there is a {thing} near the {thing} | is {the} {thing} open | could you send me {the} {thing} please
        i would like to {common} the {thing} | {the} {thing} has {common} and {common} | {common} {common} {common} {common}
        {common} {common} {thing} {common} {common} {thing} | i {common} {the} {thing}
        {the} {thing} is not in {the} {thing} | i did not {common} {the} {thing} on {day} | it isn ' t {the} {thing}
        i {not} {common} | we do not {common} {common} on {day} | i don ' t {common} | no {thing} on {day}
        {the} {thing} cost {common} | {common} | {the} {thing} looks like {the} {thing} | it is {very} {common}
        {the} {thing} {is} {good} but the {thing} {is} {bad} | {the} {thing} starts at {common} on {day}
        he works in a {thing} | i work on {day} | please come back on {day} | {day} | money is in {the} {thing}
        {the} {thing} worked until {day} | they want a {thing} | {thing} | {common} {thing} | [UNK] [UNK] [UNK] | [UNK]
        [UNK] {common} [UNK] {common} | the [UNK] is in the [UNK] | i am in the {thing} | {thing} and {thing}
        the {thing} and the {thing} have a {thing} and a {thing} | i am {common} | i will {common}
        {common} . {common} , {common} !
    """,
}


def make_tone():
    vocabulary = _vocabulary()
    ids = {word: number for number, word in enumerate(vocabulary)}
    weight, bias = _fit(ids)
    is_negator = np.isin(vocabulary, words(lists.NEGATORS))
    graph = graph_of_sums("tone", is_negator, weight, bias, reach=REACH)
    save(
        "tone",
        graph,
        title="Tone of a sentence",
        notes="Says whether an English sentence is positive, neutral or negative. It adds up a weight for each word, and knows "
        f'that "not good" is not good. The weights were fitted to {SENTENCES:,} sentences that a script put together from lists '
        f"of {len(vocabulary) - len(SPECIAL):,} words: an example for trying out the product, not for real use. It understands "
        "neither irony nor any other language, and takes words that it does not know for neutral.",
        sample={"text": "The food was wonderful and the staff were kind."},
        task="text-classification",
        task_config={"labels": LABELS, "output": "logits", "max_tokens": 256},
        files={"vocab.txt": "".join(f"{word}\n" for word in vocabulary)},
    )


def _vocabulary():
    found = {word for slot in SLOTS.values() for phrase in slot for word in phrase.split()}
    found.update(re.sub(r"{\w+}|\|", " ", " ".join(TEMPLATES.values())).split())
    found.update(words(lists.NEGATORS))
    found.update(
        words('isn wasn aren weren don didn doesn won couldn wouldn hasn haven shouldn . ! ? : ; - ( ) "')
    )
    return [*SPECIAL, *sorted(found.difference(SPECIAL))]


def _sentences(random):
    """Pairs of a label and words."""
    templates = {label: re.split(r"\s*[|\n]\s*", text.strip()) for label, text in TEMPLATES.items()}
    for number in range(SENTENCES):
        label = number % len(LABELS)
        template = templates[label][random.integers(len(templates[label]))]
        filled = re.sub(
            r"{(\w+)}", lambda slot: SLOTS[slot[1]][random.integers(len(SLOTS[slot[1]]))], template
        )
        yield label, [*filled.split(), *["", ".", "!"][random.integers(3)].split()]


def _fit(ids):
    """Fit the weights by gradient descent whose steps get smaller for weights that were changed much."""
    rows, places, labels = [], [], []
    negators = {ids[word] for word in words(lists.NEGATORS)}
    for row, (label, sentence) in enumerate(_sentences(np.random.default_rng(3))):
        labels.append(label)
        for column in columns([ids[word] for word in sentence], negators, len(ids), reach=REACH):
            rows.append(row)
            places.append(column)
    rows, places = np.array(rows), np.array(places)
    target = np.eye(len(LABELS))[labels]
    weight, bias = _first_guess(ids), np.zeros(len(LABELS))
    changed, bias_changed = np.full(weight.shape, 1e-8), np.full(bias.shape, 1e-8)
    for _ in range(150):
        error = (softmax(sums(rows, weight[places], len(labels)) + bias) - target) / len(labels)
        slope = sums(places, error[rows], len(weight)) + 2e-6 * weight
        changed += slope**2
        bias_changed += error.sum(axis=0) ** 2
        weight -= 0.3 * slope / np.sqrt(changed)
        bias -= 0.3 * error.sum(axis=0) / np.sqrt(bias_changed)
    return weight, bias


def _first_guess(ids):
    """Words of praise are positive and others of blame negative; after a negator it is the other way round."""
    weight = np.zeros((2 * len(ids), len(LABELS)))
    for slots, label, opposite in [(PRAISING, POSITIVE, NEGATIVE), (BLAMING, NEGATIVE, POSITIVE)]:
        for word in {ids[word] for slot in slots for word in SLOTS[slot]}:
            weight[word, label] = weight[len(ids) + word, opposite] = 3
    return weight
