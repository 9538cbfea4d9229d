"""pyarrow, where it is installed: the extra `parquet`."""

from typing import Any

from inference.rows.errors import FormatNotInstalled


def arrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise FormatNotInstalled from None
    return pyarrow


def parquet() -> Any:
    arrow()
    import pyarrow.parquet

    return pyarrow.parquet
