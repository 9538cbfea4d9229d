"""Errors of row files.

RowsError
├── BadContract             the row contract is invalid, or does not fit the file or the model
├── BadFile                 the file is not valid
│   ├── UnknownFormat
│   ├── RowTooLong
│   └── RowFileTooLarge     too many rows or bytes, compressed or not
├── NoPreview               the first bytes do not show the first rows
├── FormatNotInstalled      needs a package that is not installed
├── TooManyBadRows          more than the contract allows
└── UnevenResults           the parts of a result do not fit into one file
"""

from typing import ClassVar


class RowsError(Exception):
    """The rows cannot be used."""

    code: ClassVar[str] = "rows_error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__ or self.code)


class BadContract(RowsError):
    """The row contract is invalid, or does not fit the file or the model."""

    code = "bad_row_contract"

    def __init__(self, message: str | None = None, *, field: str = "") -> None:
        self.field = field  # such as columns.features[2]
        super().__init__(f"{field}: {message}" if field and message else message)


class BadFile(RowsError):
    """The file cannot be read in the stated format."""

    code = "bad_file"


class UnknownFormat(BadFile):
    """The file format must be jsonl, csv, npz or parquet."""

    code = "unknown_format"


class RowTooLong(BadFile):
    """A row is too long."""

    code = "row_too_long"


class RowFileTooLarge(BadFile):
    """The file has more rows or bytes than a job may have."""

    code = "file_too_large"


class NoPreview(RowsError):
    """The first rows of this file cannot be shown."""

    code = "no_preview"


class FormatNotInstalled(RowsError):
    """Parquet needs the extra `parquet`: pip install "roundhouse[parquet]"."""

    code = "format_not_installed"


class TooManyBadRows(RowsError):
    """The job has more bad rows than its contract allows."""

    code = "too_many_bad_rows"


class UnevenResults(RowsError):
    """The results of this job have different shapes, so they do not fit into one table; use JSONL."""

    code = "uneven_results"
