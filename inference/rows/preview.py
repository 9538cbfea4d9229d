"""The first rows of a file, read from its first bytes: which column fills which input, and what is wrong."""

import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import islice
from typing import Any

import orjson

from inference.rows.batches import BatchBuilder, RowWindow
from inference.rows.chunk_plans import ChunkPlan
from inference.rows.contract import Contract, RowError
from inference.rows.errors import BadContract, BadFile, NoPreview
from inference.rows.files import LIMITS, FileFormat, FileKind
from inference.rows.formats.npz_file import is_packed, unpack_members
from inference.rows.formats.zip_file import ZipFile
from inference.rows.layout import FileColumns, InputColumns, Layout, choose_signature, lay_out
from inference.rows.reader import RowFile, UnpackMeter, open_rows
from inference.tensors.signature import Signature, TensorSpec

ROWS_SHOWN = 5
COLUMNS_SHOWN = 24
_UNPACKED_BYTES = 2**20
_MAX_TEXT = 60
_TEXT = TensorSpec("text", "BYTES", (None,))


@dataclass(frozen=True, slots=True)
class InputPreview:
    """An input and the columns that fill it, none if the file lacks them. `sample`: the first row's values."""

    spec: TensorSpec
    columns: tuple[str, ...]
    sample: str
    near_miss: str = ""  # a column with a similar name


@dataclass(frozen=True, slots=True)
class ColumnPreview:
    name: str
    use: str  # "input x", "id", "passthrough", or empty if nothing reads it


@dataclass(frozen=True, slots=True)
class RowPreview:
    row: int
    values: tuple[str, ...]  # one for each column shown; none if the row cannot be split into columns
    problem: str


@dataclass(frozen=True, slots=True)
class FilePreview:
    """`problem`: why the row contract does not fit the file or the model, with the field that causes it."""

    inputs: tuple[InputPreview, ...]
    columns: tuple[ColumnPreview, ...]
    columns_left_out: int
    rows: tuple[RowPreview, ...]
    problem: str
    field: str
    rows_are_read: bool = True  # else only the names of a zip's files are known


def preview_file(
    head: bytes, kind: FileKind, contract: Contract, signatures: Sequence[Signature], *, is_whole: bool
) -> FilePreview:
    """Read the first rows as a job would. Raise NoPreview if the first bytes do not show them, or another RowsError.

    `head` is the end of a zip of pictures instead, where its directory is: the names are shown, and pictures only sent whole
    are read.
    """
    contract = contract.for_format(kind.format)
    data, is_whole = _plain(head, kind, is_whole)
    file = io.BytesIO(data)
    if kind.format is FileFormat.ZIP and not is_whole:
        opened: RowFile = ZipFile(file, LIMITS, is_whole=False)
        plan, reads_rows = _first_rows(opened, is_whole=True), False
    else:
        opened = open_rows(file, kind.format, LIMITS)
        plan, reads_rows = _first_rows(opened, is_whole), True
    have = opened.columns()
    signature = choose_signature(contract, signatures, have)
    layout, problem = _layout(contract, signature, have)
    chosen = {item.spec.name: item.columns for item in layout.inputs} if layout else {}
    used = {
        *(column for columns in chosen.values() for column in columns),
        contract.id,
        *contract.passthrough,
    }
    names = sorted(have.names, key=lambda name: name not in used)[:COLUMNS_SHOWN]
    shown = [name for name in have.names if name in names]
    values, bad = _values(opened, plan, shown, contract, kind.format)
    if layout is not None and reads_rows:
        builder = BatchBuilder(layout, signature, contract.missing)
        for window in opened.windows(plan, layout, contract, ROWS_SHOWN):
            bad |= {error.row: error for batch in builder.batches(window) for error in batch.bad}
    first = next(iter(values.values()), {})
    return FilePreview(
        inputs=tuple(_input(spec, chosen, contract, have, first) for spec in signature.inputs),
        columns=tuple(ColumnPreview(name, _use_of(name, chosen, contract)) for name in shown),
        columns_left_out=len(have.names) - len(shown),
        rows=tuple(
            RowPreview(
                row,
                tuple(_text(values[row].get(name)) for name in shown) if row in values else (),
                bad[row].reason if row in bad else "",
            )
            for row in range(plan.first_row, plan.first_row + plan.rows)
        ),
        problem=str(problem or ""),
        field=problem.field if problem else "",
        rows_are_read=reads_rows,
    )


def _plain(head: bytes, kind: FileKind, is_whole: bool) -> tuple[bytes, bool]:
    """The bytes uncompressed, and whether they are the whole file."""
    if kind.format is FileFormat.PARQUET:
        raise NoPreview(
            "Parquet files are read by workers only, so there is no preview. Start the job to check the file."
        )
    if kind.format is FileFormat.NPZ:
        if not is_whole:
            raise NoPreview(
                "An NPZ file has its table of contents at its end, so a large one has no preview. Start the job to check it."
            )
        return _unpacked_npz(head), True
    if not kind.gzipped:
        return head, is_whole
    unpacker = zlib.decompressobj(wbits=31)
    try:
        data = unpacker.decompress(head, _UNPACKED_BYTES)
    except zlib.error:
        raise BadFile("The gzip file is damaged; compress and send it again.") from None
    return data, is_whole and unpacker.eof


def _unpacked_npz(head: bytes) -> bytes:
    file = io.BytesIO(head)
    if not is_packed(file, LIMITS):
        return head
    target = io.BytesIO()
    unpack_members(file, target, UnpackMeter(len(head), replace(LIMITS, bytes=16 * _UNPACKED_BYTES)))
    return target.getvalue()


def _first_rows(opened: RowFile, is_whole: bool) -> ChunkPlan:
    """The first rows that are certainly complete."""
    plans = list(islice(opened.plan(1), ROWS_SHOWN + 1))
    if not is_whole and len(plans) <= ROWS_SHOWN:
        plans = plans[:-1]  # the last one may be cut off
    if not plans:
        if is_whole:
            raise NoPreview("The file has no rows.")
        raise NoPreview("The first row is longer than the part of the file that is read for a preview.")
    plans = plans[:ROWS_SHOWN]
    return ChunkPlan(
        0, plans[0].first_row, sum(plan.rows for plan in plans), plans[0].byte_from, plans[-1].byte_to
    )


def _layout(
    contract: Contract, signature: Signature, have: FileColumns
) -> tuple[Layout | None, BadContract | None]:
    try:
        return lay_out(contract, signature, have), None
    except BadContract as error:
        return None, error


def _values(
    opened: RowFile, plan: ChunkPlan, shown: Sequence[str], contract: Contract, format: FileFormat
) -> tuple[dict[int, dict[str, Any]], dict[int, RowError]]:
    """The values of each row as the file has them, by column, and the rows that cannot be split into columns."""
    # CSV would read columns of numbers all at once; as text, each cell stays as it is written.
    as_text = (InputColumns(_TEXT, (shown[0],), (), True),) if format is FileFormat.CSV and shown else ()
    layout = Layout(as_text, None, tuple(shown), merges=False)
    values: dict[int, dict[str, Any]] = {}
    bad: dict[int, RowError] = {}
    for window in opened.windows(plan, layout, contract, ROWS_SHOWN):
        whole = window.careful() if window.careful is not None else window
        values |= _by_row(whole, shown)
        bad |= {error.row: error for error in whole.bad}
    return values, bad


def _by_row(window: RowWindow, shown: Sequence[str]) -> dict[int, dict[str, Any]]:
    part = slice(0, len(window.rows))
    columns = {name: window.values.of(name, part) for name in shown} if len(window.rows) else {}
    return {row: {name: columns[name][place] for name in shown} for place, row in enumerate(window.rows)}


def _input(
    spec: TensorSpec,
    chosen: dict[str, tuple[str, ...]],
    contract: Contract,
    have: FileColumns,
    first: dict[str, Any],
) -> InputPreview:
    named = contract.columns.get(spec.name, spec.name)
    wanted = chosen.get(spec.name) or ((named,) if isinstance(named, str) else named)
    known = frozenset(have.names)
    columns = tuple(column for column in wanted if column in known)
    missing = next((column for column in wanted if column not in known), "")
    near = get_close_matches(missing, have.names[:1000], 1) if missing and len(missing) <= _MAX_TEXT else []
    sample = ", ".join(_text(first[column]) for column in columns[:COLUMNS_SHOWN] if column in first)
    return InputPreview(spec, columns, _cut(sample, 2 * _MAX_TEXT), near[0] if near else "")


def _use_of(name: str, chosen: dict[str, tuple[str, ...]], contract: Contract) -> str:
    uses = [f"input {item}" for item, columns in chosen.items() if name in columns]
    uses += ["id"] if name == contract.id else []
    uses += ["passthrough"] if name in contract.passthrough else []
    return ", ".join(uses)


def _text(value: Any) -> str:
    return _cut(value if isinstance(value, str) else orjson.dumps(value, default=str).decode(), _MAX_TEXT)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"
