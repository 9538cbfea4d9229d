"""A thousand texts, composed here: personal data in sentences of several lengths, and friendly and rude remarks."""

import random
from collections.abc import Callable

COUNT = 1_000
LONGEST = 480  # characters; the package that these are compared with divides longer ones in its own way


def words(text: str) -> list[str]:
    return text.split()


FIRST = words(
    "Ada Bob Carla Dmitri Elif Farid Grace Hiroshi Ingrid José Kwame Lucía Mei Nadia Olu Priya Quinn Rosa Søren Thi"
)
LAST = words(
    "Lovelace Marley Rossi Ivanov Yılmaz Haddad Hopper Tanaka Berg García Mensah Ortiz Chen Khan Adeyemi Patel O'Brien"
)
STREETS = words("Baker Main Elm Rosenthaler Fleet Castle Park Station Mill Church")
CITIES = words("London Springfield Berlin Chicago Graz Osaka Lagos Austin Zürich Leeds Portland Dublin")
STATES = words("IL TX CA NY OR WA")
PLAIN = [
    "the meeting starts at nine", "we will send the parcel tomorrow", "nobody answered the phone", "it rained all day",
    "the invoice was paid in March", "please close the window", "version 2.10 fixes the bug", "I like the new colour",
    "the price went up by 3.5 %", "they played football in the park", "our train was late again", "see page 14 for details",
]  # fmt: skip
RUDE = [
    "what the hell", "this is damn stupid", "you idiot", "shut up", "that was crap", "bloody awful", "holy shit",
    "he is a bastard", "go to hell", "piss off",
]  # fmt: skip
KIND = [
    "thank you", "have a nice day", "what a lovely idea", "best wishes", "you are very kind", "well done", "I love it",
    "see you soon", "congratulations", "größte Freude", "très bien", "очень хорошо",
]  # fmt: skip
JOINTS = [". ", ", ", "; ", " and ", "\n", " - ", "! ", " "]


def personal_data() -> list[str]:
    return _texts(random.Random(41), _detail)


def remarks() -> list[str]:
    def remark(chance: random.Random) -> str:
        text = chance.choice(chance.choice([RUDE, KIND, PLAIN]))
        return chance.choice(
            [text, text, text.upper(), text.capitalize(), f"{text} {chance.randint(1, 999)}"]
        )

    return _texts(random.Random(42), remark)


def _texts(chance: random.Random, part: Callable[[random.Random], str]) -> list[str]:
    """Different texts of one part to many."""
    texts: dict[str, None] = {}
    while len(texts) < COUNT:
        text = part(chance)
        for _ in range(chance.choice([0, 0, 1, 2, 3, 5, 8])):
            longer = text + chance.choice(JOINTS) + part(chance)
            text = longer if len(longer) <= LONGEST else text
        texts[text + chance.choice(["", ".", "!", "?"])] = None
    return list(texts)


def _detail(chance: random.Random) -> str:
    name = f"{chance.choice(FIRST)} {chance.choice(LAST)}"
    street = f"{chance.randint(1, 2500)} {chance.choice(STREETS)} {chance.choice(['Street', 'Road', 'Ave', 'St.'])}"
    city = chance.choice(CITIES)
    return chance.choice([
        f"my name is {name}", f"{name} called from {_phone(chance)}", f"write to {_mail(chance, name)}",
        f"I live at {street}, {city}", f"ship it to {name}, {street}, {city}, {chance.choice(STATES)} {_digits(chance, 5)}",
        f"card {_card(chance)} expires in {chance.randint(1, 12)}/{chance.randint(26, 31)}", f"phone: {_phone(chance)}",
        f"SSN {_digits(chance, 3)}-{_digits(chance, 2)}-{_digits(chance, 4)}",
        f"passport no. {chance.choice('CKX')}{_digits(chance, 8)}",
        f"account {_digits(chance, 10)}, routing number {_digits(chance, 9)}", f"see https://www.{chance.choice(LAST).lower()}.example/a",
        f"{name} and {chance.choice(FIRST)} met in {city}", f"apt {chance.randint(1, 90)}, {street}", *chance.sample(PLAIN, 5),
    ])  # fmt: skip


def _digits(chance: random.Random, count: int) -> str:
    return "".join(chance.choice("0123456789") for _ in range(count))


def _phone(chance: random.Random) -> str:
    a, b, c = _digits(chance, 3), _digits(chance, 3), _digits(chance, 4)
    return chance.choice(
        [f"({a}) {b}-{c}", f"+1 {a} {b} {c}", f"{a}-{b}-{c}", f"+44 20 {c} {b}1", f"0{a}/{b}{c}"]
    )


def _card(chance: random.Random) -> str:
    parts = ["4" + _digits(chance, 3), *(_digits(chance, 4) for _ in range(3))]
    return chance.choice([" ", "-", ""]).join(parts)


def _mail(chance: random.Random, name: str) -> str:
    user = name.lower().replace(" ", chance.choice([".", "_", ""])).replace("'", "")
    return f"{user}{chance.choice(['', '7', '+news'])}@{chance.choice(['example.com', 'mail.example.org'])}"
