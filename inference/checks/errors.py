"""What keeps a version from being measured on a golden set."""


class RowUnfit(Exception):
    """A row that cannot be compared with the version's answer: the rest of a sentence about the row."""


class NotMeasurable(Exception):
    """A metric that has no value: the rest of a sentence about the version and its golden set."""

    def __init__(self, code: str, fact: str, advice: str) -> None:
        super().__init__(fact)
        self.code, self.fact, self.advice = code, fact, advice
