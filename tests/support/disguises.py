# ruff: noqa: SIM905 - lists of words are read more easily than lists of strings
"""Listed words, ways to disguise them, and texts that are innocent: for tests of matching."""

import random
from itertools import product

LISTED = (
    "scam casino viagra poker spam crypto lottery jackpot escort vodka weed drunk sex ass bet gun tit damn crap loan cash forex "
    "pills steroids cocaine heroin vape cigars knife bomb hack cheat fraud nude webcam warez crack malware money slim"
).split()

PHRASES = (
    "free casino", "free money", "buy pills", "cheap cigars", "sex toy", "no deposit", "win a jackpot", "adult webcam",
    "make money fast", "hot deal", "no limit poker", "weed for sale",
)  # fmt: skip

_CYRILLIC = dict(zip("aceopxyijsk", "асеорхуіјѕк", strict=True))
_GREEK = dict(zip("aeopxikvntu", "αεορχικνητυ", strict=True))
_DIGITS = dict(zip("oeatisb", "0347158", strict=True))
_SYMBOLS = dict(zip("asit", "@$!+", strict=True))
_PAIRS = {"m": "rn", "w": "vv", "rn": "m", "vv": "w"}


def _but_one(word, table):
    """Letters of the table replaced, and one of its own kept."""
    kept = next((letter for letter in reversed(word) if letter not in table), word[-1])
    at = word.rindex(kept)
    return "".join(letter if place == at else table.get(letter, letter) for place, letter in enumerate(word))


def _some_digits(word):
    """As many as a reader can take: at most half of the letters."""
    made, left = [], len(word) // 2
    for letter in word:
        made.append(_DIGITS[letter] if letter in _DIGITS and left else letter)
        left -= made[-1] != letter
    return "".join(made)


def _shifted(first):
    return lambda word: "".join(chr(ord(first) + ord(letter) - ord("a")) for letter in word)


def _joined(separator):
    return lambda word: separator.join(word)


DISGUISES = {
    "digits": _some_digits,
    "symbols": lambda word: (
        "".join(
            _SYMBOLS.get(letter, letter) if place or letter in "as" else letter
            for place, letter in enumerate(word[:-1])
        )
        + word[-1]
    ),
    "Cyrillic letters": lambda word: _but_one(word, _CYRILLIC),
    "Greek letters": lambda word: _but_one(word, _GREEK),
    "invisible characters": _joined("\u200b"),
    "combining marks": lambda word: "".join(f"{letter}\u0336\u0301" for letter in word),
    "repeated letters": lambda word: word[0] + word[1] * 4 + word[2:-1] + word[-1] * 3,
    "full stops": _joined("."),
    "spaces": _joined(" "),
    "hyphens": _joined("-"),
    "full width": _shifted("ａ"),
    "circled": _shifted("ⓐ"),
    "mathematical": _shifted("𝖆"),
    "pairs of letters": lambda word: word.replace("m", "rn").replace("w", "vv"),
}


def disguised():
    """Word, name of the disguise and how the word looks in it, where it changes the word."""
    return [
        (word, name, disguise(word))
        for word, (name, disguise) in product(LISTED, DISGUISES.items())
        if disguise(word) != word
    ]


def disguised_phrases():
    """Phrase, names of the disguises and how the phrase looks if each word is in another one, or all are joined."""
    names = [None, *DISGUISES]
    cases = []
    for phrase, (shift, first) in product(PHRASES, product(range(len(names)), range(len(names)))):
        words = phrase.split()
        chosen = [names[(first + shift * place) % len(names)] for place in range(len(words))]
        looks = " ".join(
            DISGUISES[name](word) if name and len(word) > 1 else word
            for word, name in zip(words, chosen, strict=True)
        )
        cases.append((phrase, chosen, looks))
    joined = [phrase for phrase in PHRASES if len(phrase.replace(" ", "")) >= 8]
    cases += [
        (phrase, ["joined", name], DISGUISES[name](phrase.replace(" ", "")))
        for phrase, name in product(joined, DISGUISES)
    ]
    return [case for case in cases if case[2] != case[0]]


_HIDING = (
    "Scunthorpe Penistone classic assassin Essex Sussex Middlesex sextant better alphabet gunnery begun title titan entitled "
    "glass pass grass compass scampi scamper despair spammer bombard Bombay hackney cashew cashmere loaned nudged forecast "
    "drunkard weedy seaweed craps scrap pillow pillar moneyed Monet slimy knifed cheater defrauded cracked crackers betray "
    "Tibet abetted cigarillo vapid shuttlecock assume assist Massachusetts institute constitution petit Titus tithe gunwale "
    "burgundy Gunther bass ambassador damnation pokerface escorted lotteries encryption cryptic hacksaw shack whack thackeray"
).split()
_COMMON = (
    "the of and to in a is that for it as was with be by on not he this are or his from at which but have an had they you were "
    "one all we can her has there been if more when will would who so no out said what up its about than into them only other "
    "new some could time these two may then do first any my now such like our over man me even most made after also did many "
    "before must through back years where much your way well down should because each just those people how too little state "
    "good very make world still own see men work long get here between both life being under never day same another know while "
    "last might us great old year off come since against go came right used take three burn barn corn turn modern stern yarn "
    "god mall mail hell he'll she'll fall fail coma comma later latter pen is therapist as sin mass muse ham dam com gem"
).split()
_TURKISH = (
    "ve bir bu için çok daha gibi kadar sonra olarak ısı kız sınır altın ışık kılıç yıldız şehir çiçek güneş değil İstanbul "
    "Iğdır sıkı kısa açık hızlı ısırgan ırmak bakış sıra kırmızı akıl sınıf kapı yakın dışarı bıçak asıl kasım aşı taş iş içki"
).split()
_RUSSIAN = (
    "и в не на я что он с как это по но они мы она так его за был от меня о из ему теперь когда даже ну вдруг ли если уже или "
    "рак нос вор сор хор рот кот оса ром сон мост рост торс восток аромат москва россия человек время рука дело раз глаз жизнь "
    "день голова друг дом слово место лицо сторона нога дверь работа земля конец час голос город вода стол ребёнок сила отец "
    "женщина машина случай сосна хомка каскад пароход пока карта рис тир борт арест сахар ухо эхо парк"
).split()
_UKRAINIAN = (
    "і та що це як він вона ми ви вони його її але або якщо коли тут там дуже добре день ніч ранок вечір місто село країна мова "
    "слово книга їжа вода хліб сіль цукор кіт пес кінь рік місяць тиждень сім ніс сік рік обрій сонце їхати ґанок"
).split()
_GREEK_WORDS = (
    "και το να η ο στο με για από που είναι αυτό δεν θα τον την του της μια ένα ήταν όταν αλλά πολύ κάτι τώρα εδώ όλα μέρα νύχτα "
    "πόλη χώρα νερό ψωμί σπίτι δρόμος άνθρωπος γυναίκα παιδί ζωή χρόνος ώρα μήνας έτος λόγος νόμος τόπος κόσμος ουρανός ποτό"
).split()


def innocent_beside(phrases, count):
    """The words of phrases, but apart, in another order, as parts of longer words, or only some of them."""
    rng = random.Random(25)

    def apart(words):
        return f" {rng.choice(_COMMON)} ".join(words)

    makers = (
        apart,
        lambda words: apart(list(map(_joined(" "), words))),
        lambda words: "entry to the ".join([f"{words[0]} ", *words[1:]]),
        lambda words: ". The ".join(words),
        lambda words: " ".join(reversed(words)),
        lambda words: _joined(" ")("".join(reversed(words))),
        lambda words: "".join(reversed(words)),
        lambda words: " ".join(words) + rng.choice(["ish", "dom", "zz"]),
        lambda words: rng.choice(["un", "bra", "x"]) + " ".join(words),
        lambda words: rng.choice(["un", "bra", "x"]) + "".join(words),
        lambda words: " ".join(words[:-1]) + " " + " ".join(words[-1][:-1]),
        lambda words: f"{words[0]} {words[-1][:-2]} {words[-1][:2]}",
    )
    texts = []
    for number in range(count):
        words = phrases[number // len(makers) % len(phrases)].split()
        before, after = (" ".join(rng.choices(_COMMON, k=rng.randint(0, 3))) for _ in range(2))
        texts.append(f"{before} {makers[number % len(makers)](words)} {after}".strip())
    return texts


def innocent(count):
    rng = random.Random(20)
    makers = (
        lambda: " ".join(rng.choices(_COMMON, k=rng.randint(3, 12))) + rng.choice([".", "!", "?", "...", ""]),
        lambda: " ".join(rng.choices(_COMMON + _HIDING * 2, k=rng.randint(2, 8))).capitalize(),
        lambda: "-".join(rng.choices(_HIDING, k=2)) + " " + "_".join(rng.choices(_COMMON, k=3)),
        lambda: " ".join(rng.choices(_TURKISH, k=rng.randint(1, 8))),
        lambda: " ".join(rng.choices(_RUSSIAN, k=rng.randint(1, 8))),
        lambda: " ".join(rng.choices(_RUSSIAN, k=3)).upper(),
        lambda: " ".join(rng.choices(_UKRAINIAN, k=rng.randint(1, 8))),
        lambda: " ".join(rng.choices(_GREEK_WORDS, k=rng.randint(1, 8))),
        lambda: " ".join(rng.choices(_GREEK_WORDS, k=3)).upper(),
        lambda: (
            f"{rng.choice(_COMMON)} {rng.choice(_RUSSIAN)} {rng.choice(_GREEK_WORDS)} {rng.choice(_TURKISH)}"
        ),
        lambda: f"{rng.choice('$€£')}{rng.randint(1, 99_999):,}.{rng.randint(0, 99):02}",
        lambda: (
            f"{rng.randint(0, 23)}:{rng.randint(0, 59):02}, {rng.randint(1, 28)}.{rng.randint(1, 12)}.20{rng.randint(10, 30)}"
        ),
        lambda: (
            "".join(rng.choices("ABCDEFGHKMNPRSTX", k=2)) + f"-{rng.randint(1, 9_999)}" + rng.choice("ABX ")
        ),
        lambda: (
            f"{rng.choice('ABGHNSX')}{rng.randint(1, 999)} v{rng.randint(0, 9)}.{rng.randint(0, 20)}.{rng.randint(0, 99)}"
        ),
        lambda: (
            f"https://www.{rng.choice(_HIDING).lower()}.example/{rng.choice(_COMMON)}/{rng.randint(1, 9_999)}"
        ),
        lambda: f"{rng.choice(_COMMON)}.{rng.choice(_HIDING).lower()}{rng.randint(1, 99)}@mail.example.com",
        lambda: f"+{rng.randint(1, 99)} {rng.randint(100, 999)} {rng.randint(1_000, 9_999_999)}",
        lambda: f"{rng.getrandbits(64):016x}",
        lambda: ", ".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=4)),
        lambda: (
            f"{rng.randint(1, 40)} x {rng.randint(1, 40)} = {rng.randint(1, 1_600)} ({rng.randint(1, 100)}%)"
        ),
    )
    return [makers[number % len(makers)]() for number in range(count)]
