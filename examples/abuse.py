"""The example `abuse`: is a text safe or toxic?

It counts rude words, in three groups, and says how many of them come shortly after a "you". The groups' weights are fitted to
sentences that this script puts together from mild insults.
"""

import json
import re

import numpy as np
import word_lists as lists
from linear_models import fit_softmax
from saving import save
from word_lists import words
from word_sums import SPECIAL, columns, graph_of_sums

LABELS = ["safe", "toxic"]
REACH = 4  # how many words after a "you" are aimed at that person
YOU = ["you", "u", "ya"]
GROUPS = {
    "insult": words("""
        idiot idiots moron morons imbecile imbeciles loser losers jerk jerks dimwit dimwits nitwit nitwits halfwit halfwits twit
        twits dolt dolts fool fools numbskull numbskulls blockhead blockheads bonehead boneheads airhead airheads jackass cretin
        cretins scumbag scumbags creep creeps weirdo weirdos crybaby crybabies
    """),
    "rude": words("""
        stupid dumb idiotic moronic brainless crap crappy damn pathetic lame sucks suck
    """),
    "unkind": words("""
        useless worthless hopeless clueless ugly disgusting ridiculous annoying ignorant incompetent lazy trash garbage rubbish
        scum filth clown joke disgrace failure
    """),
}  # fmt: skip
RUDE = {word for group in GROUPS.values() for word in group}
SLOTS = {
    **GROUPS,
    "thing": words(lists.THINGS),
    "other": [word for word in words(lists.COMMON + lists.BAD) if word not in RUDE and word not in YOU],
    "you": YOU,
}
# How many of the readers of such a sentence would call it toxic, if there were any
TEMPLATES = {
    0.03: """
        the {thing} arrived on {other} | {other} {other} {other} {other} | {you} are {other} | could {you} {other} the {thing}
        {you} {other} {other} the {thing} | the {thing} is {unkind} | what a {unkind} {thing} | i am so {unkind} {other}
        it was {unkind} and {other} | {unkind} {thing} | {other} {other} {unkind} {other}
    """,
    0.6: """
        the {thing} is {rude} | what a {rude} {thing} | that was {rude} {other} | this {rude} {thing} {other} {other}
        {other} {other} {rude}
    """,
    0.96: """
        {you} are a {insult} | {insult} | what a {insult} | he is a {insult} and {other} | {you} are {rude} | {you} are {unkind}
        {you} are such a {unkind} {other} | get lost {insult} | {you} {insult}
        {you} and the {rude} {thing} | {you} are so {rude} | nobody likes {you} , {unkind} {other}
        only a {insult} {other} the {thing} | the {insult} {other} the {thing}
    """,
}  # fmt: skip
SENTENCES = 9_000
# Not put together by the script, and no list was changed to suit them: the model is wrong about some
GOLDEN = {
    "safe": [
        "Thank you, this answered my question.", "I disagree with you, but I see your point.", "The ending was sad.",
        "When does the next train to Leeds leave?", "Great photo! Where was it taken?", "The soup was cold and the bread stale.",
        "You are the best, see you on Friday.", "I think the second chapter is wrong about the dates.",
        "My dog ate the homework, honestly.", "Could you send me the invoice again?", "This phone is useless in the rain.",
        "That is the ugliest chair I ever sat in, but comfortable.", "We lost the match, and it was our own fault.",
        "He fell off the bike and hurt his arm.", "You may park behind the house.", "The rubbish is collected on Mondays.",
        "Nobody was at the desk when we arrived.", "I hate getting up early.", "What a terrible day for a picnic.",
        "Congratulations to you both!", "Does anyone have a spare charger?", "The film is a failure, and a loud one.",
        "You forgot the salt again, chef.", "The book calls Prince Myshkin an idiot, with love.",
    ],
    "toxic": [
        "You are an idiot, get lost.", "What a bunch of morons.", "Shut up, you pathetic loser.", "You're so dumb it hurts.",
        "Only a complete fool would vote for that.", "Go away, creep.", "You are a worthless excuse for a neighbour.",
        "Are you stupid or just lazy?", "This is the work of imbeciles.", "You ugly jackass.", "U r useless.",
        "Stop posting, nitwit.", "I have never met such a bonehead.", "You are a disgrace to this town.",
        "Your brain must be the size of a pea.", "Crawl back under your rock.",
    ],
}  # fmt: skip


def make_abuse():
    vocabulary = [*SPECIAL, *sorted({*YOU, *RUDE})]
    by_group, bias = _fit({word: number for number, word in enumerate(vocabulary)})
    weight = np.array([by_group[number] for number in _group_of_columns(vocabulary)])
    lines = [
        json.dumps({"inputs": {"text": text}, "label": label}) + "\n"
        for label, texts in GOLDEN.items()
        for text in texts
    ]
    save(
        "abuse",
        graph_of_sums("abuse", np.isin(vocabulary, YOU), weight, bias, reach=REACH),
        title="Abuse in a text",
        notes="Says whether an English text is toxic: a word-count model for the demo, not for real content. It counts "
        f'{len(RUDE)} rude words; some count only after a "you". It knows nothing else: an insult without one of these words is '
        'safe to it, and "you are not an idiot" is toxic. The weights were fitted to '
        f"{SENTENCES:,} sentences that a script put together; the golden set has others, and it is wrong about some of them.",
        sample={"text": "You are an idiot, get lost."},
        task="text-classification",
        task_config={"labels": LABELS, "output": "logits", "max_tokens": 512},
        golden_metric="accuracy",
        files={
            "vocab.txt": "".join(f"{word}\n" for word in vocabulary),
            "golden.jsonl": "".join(lines),
        },
    )  # fmt: skip


def _group_of_columns(vocabulary):
    """The group of each word, from 0, then of each word that is aimed at a person, and 6 for words of no group."""
    names = list(GROUPS)
    groups = [
        next((names.index(name) for name in names if word in GROUPS[name]), None) for word in vocabulary
    ]
    none = 2 * len(names)
    return [none if group is None else group + aimed * len(names) for aimed in (0, 1) for group in groups]


def _fit(ids):
    """Weights of the groups, with one of zeros for all other words; and the bias."""
    group_of = _group_of_columns(list(ids))
    markers = {ids[word] for word in YOU}
    counts, labels = np.zeros((SENTENCES, 2 * len(GROUPS) + 1)), []
    for row, (label, sentence) in enumerate(_sentences(np.random.default_rng(17))):
        labels.append(label)
        known = [ids.get(word, ids["[UNK]"]) for word in sentence]
        for column in columns(known, markers, len(ids), reach=REACH):
            counts[row, group_of[column]] += 1
    counts[:, -1] = 0
    return fit_softmax(counts, np.array(labels), len(LABELS))


def _sentences(random):
    """Pairs of a label and words."""
    choices = [
        (share, template)
        for share, text in TEMPLATES.items()
        for template in re.split(r"\s*[|\n]\s*", text.strip())
    ]
    for _ in range(SENTENCES):
        share, template = choices[random.integers(len(choices))]
        filled = re.sub(
            r"{(\w+)}", lambda slot: SLOTS[slot[1]][random.integers(len(SLOTS[slot[1]]))], template
        )
        yield int(random.random() < share), filled.split()
