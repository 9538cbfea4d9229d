"""Contents: what somebody wants to publish, as it is sent to be moderated."""

import base64
import binascii
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from moderation.errors import InvalidContent
from moderation.policies.models import MAX_CONTEXT
from moderation.policies.rules import Part, language_of

MAX_TEXT, MAX_TITLE, MAX_ID, MAX_URL = 100_000, 1_000, 200, 2_000
MAX_PICTURES, MAX_PICTURE_BYTES = 8, 20 << 20
MAX_CONTENTS = 64  # of a request
_DATA_URI = "data:"
_FLAGS = {"true": True, "false": False}
_TEXTS = {
    "text": MAX_TEXT,
    "title": MAX_TITLE,
    "content_id": MAX_ID,
    "author_id": MAX_ID,
    "context": MAX_CONTEXT,
    "thread": MAX_ID,
    "url": MAX_URL,
    "language": 35,
}
FIELDS = (*_TEXTS, "image", "images", "image_url", "image_urls", "do_not_store")


@dataclass(frozen=True, slots=True)
class SentPicture:
    """A picture's file, or the URL where it is."""

    content: bytes = b""
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """`language` is the one that was named, without its region; empty: none was."""

    text: str = ""
    title: str = ""
    pictures: tuple[SentPicture, ...] = ()
    content_id: str = ""
    author_id: str = ""
    context: str = ""
    language: str = ""
    thread: str = ""
    url: str = ""
    do_not_store: bool = False

    def texts(self) -> list[tuple[Part, str]]:
        """The parts with words."""
        return [(part, text) for part, text in ((Part.TEXT, self.text), (Part.TITLE, self.title)) if text]

    @property
    def nbytes(self) -> int:
        return 4 * (len(self.text) + len(self.title)) + sum(len(one.content) for one in self.pictures)

    def with_pictures(self, contents: Sequence[bytes]) -> "Content":
        """The same content with the files of its pictures, where they were fetched."""
        pictures = [replace(sent, content=file) for sent, file in zip(self.pictures, contents, strict=True)]
        return replace(self, pictures=tuple(pictures))


def read_contents(body: Any) -> list[Content]:
    """One content, a list of them, or an object with a list in `contents`. Raises InvalidContent."""
    if isinstance(body, Mapping) and "contents" in body:
        if unknown := sorted(body.keys() - {"contents"}):
            raise InvalidContent(
                f"Beside `contents` there can be nothing else; put `{unknown[0]}` into each content.",
                unknown[0],
            )
        return _read_list(body["contents"], ("contents",))
    if isinstance(body, list):
        return _read_list(body, ())
    return [read_content(body)]


def is_list(body: Any) -> bool:
    return isinstance(body, list) or (isinstance(body, Mapping) and "contents" in body)


def _read_list(contents: Any, place: tuple[str, ...]) -> list[Content]:
    if not isinstance(contents, list) or not contents:
        raise InvalidContent("Send at least one content in the list.", *place)
    if len(contents) > MAX_CONTENTS:
        raise InvalidContent(
            f"A request may have at most {MAX_CONTENTS} contents; use a job for more.", *place
        )
    return [read_content(content, (*place, number)) for number, content in enumerate(contents)]


def read_content(body: Any, place: tuple[str | int, ...] = (), known: Collection[str] = FIELDS) -> Content:
    """One content from its fields; `place` is where it is in the request."""
    if not isinstance(body, Mapping):
        raise InvalidContent("A content is an object with `text`, `image` or `image_url`.", *place)
    for name in body:
        if name not in known:
            raise InvalidContent(
                f"There is no field `{str(name)[:80]}`; the fields are {', '.join(f'`{one}`' for one in known)}.",
                *place,
                str(name),
            )
    texts = {name: _read_text(body, name, longest, place) for name, longest in _TEXTS.items()}
    content = Content(
        **{**texts, "language": _read_language(texts["language"], place)},
        pictures=tuple(_read_pictures(body, place)),
        do_not_store=_read_flag(body, "do_not_store", place),
    )
    if not content.texts() and not content.pictures:
        raise InvalidContent("The content is empty: send `text`, `title`, `image` or `image_url`.", *place)
    return content


def _read_text(body: Mapping[str, Any], name: str, longest: int, place: tuple[str | int, ...]) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and name.endswith("_id"):
        value = str(value)  # many applications number their contents and authors
    if not isinstance(value, str):
        raise InvalidContent(f"`{name}` must be a text.", *place, name)
    if len(value) > longest:
        raise InvalidContent(
            f"`{name}` has {len(value):,} characters; at most {longest:,} are accepted.", *place, name
        )
    return value


def _read_language(value: str, place: tuple[str | int, ...]) -> str:
    try:
        return language_of(value) if value else ""
    except ValueError:
        raise InvalidContent(
            "`language` is a language tag, such as en or pt-BR.", *place, "language"
        ) from None


def _read_flag(body: Mapping[str, Any], name: str, place: tuple[str | int, ...]) -> bool:
    value = body.get(name, False)
    if isinstance(value, str) and value in _FLAGS:  # forms have texts only
        value = _FLAGS[value]
    if not isinstance(value, bool):
        raise InvalidContent(f"`{name}` is true or false.", *place, name)
    return value


def _read_pictures(body: Mapping[str, Any], place: tuple[str | int, ...]) -> list[SentPicture]:
    pictures: list[SentPicture] = []
    for one, several in (("image", "images"), ("image_url", "image_urls")):
        read = _read_file if one == "image" else _read_url
        if body.get(one) is not None:
            pictures.append(read(body[one], (*place, one)))
        if body.get(several) is not None:
            if not isinstance(body[several], list):
                raise InvalidContent(f"`{several}` must be a list.", *place, several)
            pictures += [read(value, (*place, several, number)) for number, value in enumerate(body[several])]
    if len(pictures) > MAX_PICTURES:
        raise InvalidContent(
            f"A content may have at most {MAX_PICTURES} pictures; it has {len(pictures)}.", *place
        )
    return pictures


def _read_file(value: Any, place: tuple[str | int, ...]) -> SentPicture:
    if isinstance(value, bytes):
        return SentPicture(_checked_size(value, place))
    if not isinstance(value, str) or not value:
        raise InvalidContent("A picture is sent as base64.", *place)
    return SentPicture(_checked_size(_decode(value, place), place))


def _read_url(value: Any, place: tuple[str | int, ...]) -> SentPicture:
    if not isinstance(value, str) or not value:
        raise InvalidContent("The URL of a picture must be a text.", *place)
    if value[:5].lower() == _DATA_URI:
        return SentPicture(_checked_size(_decode(value, place), place))
    if len(value) > MAX_URL:
        raise InvalidContent(f"A URL may have at most {MAX_URL:,} characters.", *place)
    return SentPicture(url=value)


def _decode(text: str, place: tuple[str | int, ...]) -> bytes:
    if text[:5].lower() == _DATA_URI:
        head, comma, text = text.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise InvalidContent("A data URI must hold base64: data:image/png;base64,…", *place)
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidContent("It is not base64.", *place) from None


def _checked_size(content: bytes, place: tuple[str | int, ...]) -> bytes:
    if not content:
        raise InvalidContent("The picture is empty.", *place)
    if len(content) > MAX_PICTURE_BYTES:
        raise InvalidContent(f"A picture may have at most {MAX_PICTURE_BYTES >> 20} MiB.", *place)
    return content
