"""Names from files in sentences for people: short, printable, in quotes."""

_SHOWN = 60


def shown(name: bytes | str) -> str:
    """Give a name that may hold anything in a form that can stand in a sentence, a log line or a page."""
    text = name[: 4 * _SHOWN + 4].decode(errors="replace") if isinstance(name, bytes) else name
    safe = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return f"'{safe[:_SHOWN]}…'" if len(safe) > _SHOWN else f"'{safe}'"


def printable(name: str) -> str:
    """Give a name without what no page or database takes."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)[:255]
