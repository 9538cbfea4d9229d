"""Errors of matching.

MatchError
├── BadList           an entry of a list cannot be used
├── PatternTooSlow    the patterns of a list take too long on this text
└── NotAPicture       the bytes are no picture that is read here
"""

from typing import ClassVar


class MatchError(Exception):
    """The lists could not be compared with this content."""

    code: ClassVar[str] = "match_error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__ or self.code)


class BadList(MatchError):
    """An entry of the list cannot be used; `place` is its index."""

    code = "bad_list"

    def __init__(self, message: str, *, place: int) -> None:
        self.place = place
        super().__init__(message)


class PatternTooSlow(MatchError):
    """The patterns of the list take too long on this text. Make them simpler, or split the list."""

    code = "pattern_too_slow"


class NotAPicture(MatchError):
    """The bytes are no picture. Send a JPEG, PNG, WebP or GIF."""

    code = "not_a_picture"
