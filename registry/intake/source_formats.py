"""Formats other than ONNX that an app above can convert: how a file of each is recognised, and what an owner must state."""

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from registry.errors import Invalid
from registry.intake.errors import FormatNotConverted
from registry.intake.file_scan.errors import FileRefused
from registry.intake.file_scan.scan import HEAD_BYTES
from registry.intake.file_scan.sent_files import SentFile, is_archive, open_archive
from registry.kit.registrations import Registrations
from registry.kit.text import checked_line

_MAX_OPTION = 200


@dataclass(frozen=True, slots=True)
class SeenFile:
    """What tells a file's format: its name, how it begins, and the names in it if it is a zip."""

    name: str
    head: bytes
    entries: Collection[str]


@dataclass(frozen=True, slots=True)
class SourceFormat:
    """A format that is converted to ONNX when its version is checked, in a confined process.

    `is_program`: a file of it is code that runs when it is loaded, so whoever sends one confirms it by typing its name.
    `options`: what its owner may state, with a help text for each. `missing`: why this installation does not convert it, and
    what to do; empty if it does.
    """

    name: str
    label: str
    environment: str
    endings: tuple[str, ...]
    recognises: Callable[[SeenFile], bool]
    missing: Callable[[], str]
    is_program: bool = False
    needs_shapes: bool = False
    options: Mapping[str, str] = field(default_factory=dict)


SOURCE_FORMATS: Registrations[SourceFormat] = Registrations("source format")


@dataclass(frozen=True, slots=True)
class RequestedFormat:
    """What the sender states: the format, if it is not to be recognised, its options, and the name they typed to confirm."""

    name: str = ""
    options: Mapping[str, str] | None = None
    confirmed: str = ""


AS_RECOGNISED = RequestedFormat()


def is_source(file: SentFile) -> bool:
    """Whether the file is recognised as one in a format other than ONNX."""
    seen = _look_at(file)
    return any(one.recognises(seen) for one in SOURCE_FORMATS)


def format_of(file: SentFile, requested: RequestedFormat) -> SourceFormat | None:
    """The format that the file is converted from; none: it should be ONNX.

    Raises FormatNotConverted if it is a format that is not converted here, and Invalid for what does not fit the format.
    """
    if requested.name:
        if requested.name not in SOURCE_FORMATS:
            raise Invalid(f"There is no format {requested.name!r}; use one of {', '.join(_names())}.")
        found: SourceFormat | None = SOURCE_FORMATS[requested.name]
    else:
        seen = _look_at(file)
        found = next((one for one in SOURCE_FORMATS if one.recognises(seen)), None)
    if found is None:
        if requested.options:
            raise Invalid("Only files that are converted have options; this one is taken as it is.")
        return None
    if why := found.missing():
        raise FormatNotConverted(f"This is a file in the format {found.label}. {why}")
    if found.is_program and requested.confirmed != file.label:
        raise Invalid(
            f"A file in the format {found.label} is a program that runs when it is converted. If you trust where it comes"
            f" from, confirm that by typing its name, {file.label!r}."
        )
    return found


def check_shapes_stated(source_format: str, shapes: Mapping[str, Any]) -> None:
    """Raise Invalid if files in this format do not state their inputs, and nobody else does."""
    if source_format and SOURCE_FORMATS[source_format].needs_shapes and not shapes:
        raise Invalid(
            f"A file in the format {SOURCE_FORMATS[source_format].label} does not state its inputs; state the size of each, such"
            " as image=1,3,224,224 (“Input sizes” on the upload page, input_shapes in the API, import_model --shape)."
        )


def checked_options(found: SourceFormat, options: Mapping[str, Any] | None) -> dict[str, str]:
    """The options as they are stored. Raises Invalid."""
    checked = {}
    for name, value in (options or {}).items():
        if name not in found.options:
            known = ", ".join(found.options) or "none"
            raise Invalid(f"{found.label} has no option {name!r}; its options: {known}.")
        checked[name] = checked_line(str(value), what=name, longest=_MAX_OPTION)
    return checked


def _names() -> list[str]:
    return [name for name, _ in SOURCE_FORMATS.items()]


def _look_at(file: SentFile) -> SeenFile:
    entries: Collection[str] = ()
    if is_archive(file):
        try:
            with open_archive(file) as archive:
                entries = archive.namelist()
        except FileRefused:  # said when the file is read
            entries = ()
    return SeenFile(file.label.lower(), os.pread(file.descriptor, HEAD_BYTES, file.start), entries)
