"""Names of entries in zips of every kind: models, jobs and golden sets."""

_OF_FILE_MANAGERS = {"__macosx", "thumbs.db", "desktop.ini"}


def is_left_out(name: str) -> bool:
    """Whether nobody meant to send it: a folder, a hidden file, or what a file manager adds."""
    parts = name.replace("\\", "/").split("/")
    return not parts[-1] or any(_is_hidden(part) or part.lower() in _OF_FILE_MANAGERS for part in parts)


def _is_hidden(part: str) -> bool:
    return part.startswith(".") and part not in {".", ".."}
