"""What can go wrong with files of rows; a library's errors, without HTTP.

RowsError
├── BadContract             how rows become inputs is not stated well, or does not fit the file or the model
├── BadFile                 the file is not what it is said to be
│   ├── UnknownFormat
│   ├── RowTooLong
│   └── FileTooLarge        more rows or bytes than a job may hold, packed or unpacked
├── FormatNotInstalled      needs a package that this installation lacks
├── TooManyBadRows          more than the contract allows
└── UnevenResults           parts of a result cannot be one file
"""

from typing import ClassVar


class RowsError(Exception):
    """The rows cannot be used."""

    code: ClassVar[str] = "rows_error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__ or self.code)


class BadContract(RowsError):
    """The row contract does not fit."""

    code = "bad_row_contract"

    def __init__(self, message: str | None = None, *, field: str = "") -> None:
        self.field = field  # such as columns.features[2]
        super().__init__(f"{field}: {message}" if field and message else message)


class BadFile(RowsError):
    """The file cannot be read as the format it is said to have."""

    code = "bad_file"


class UnknownFormat(BadFile):
    """The file's format is not one of jsonl, csv, npz and parquet."""

    code = "unknown_format"


class RowTooLong(BadFile):
    """A row is longer than a row may be."""

    code = "row_too_long"


class FileTooLarge(BadFile):
    """The file holds more than a job may hold."""

    code = "file_too_large"


class FormatNotInstalled(RowsError):
    """Reading Parquet needs the extra `parquet`: pip install "roundhouse[parquet]"."""

    code = "format_not_installed"


class TooManyBadRows(RowsError):
    """More rows cannot be used than the job allows."""

    code = "too_many_bad_rows"


class UnevenResults(RowsError):
    """The results of this job do not have one form, so they cannot be one table; ask for JSONL."""

    code = "uneven_results"
