"""Paths inside a store, as text; nothing here looks at a disk."""

from inference.jobs.stores.errors import BadStorePath

MAX_PATH = 400
_MAX_NAME_BYTES = 200


def checked_path(path: str, *, may_be_empty: bool = False) -> str:
    """Give the path back if it is relative and leads down only; raise BadStorePath, which says what is wrong."""
    if may_be_empty and path == "":
        return path
    if not 0 < len(path) <= MAX_PATH:
        raise BadStorePath(f"A path has 1 to {MAX_PATH} characters, this one {len(path):,}.")
    if "\\" in path or not path.isprintable():
        raise BadStorePath("A path has no backslashes and no characters that cannot be seen.")
    for name in path.split("/"):
        if name in ("", ".", "..") or name.startswith("."):
            raise BadStorePath
        if len(name.encode("utf-8", "replace")) > _MAX_NAME_BYTES:
            raise BadStorePath(f"A name in a path has {_MAX_NAME_BYTES} bytes at most.")
    return path
