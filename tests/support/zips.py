"""Zips as people send them."""

import io
import json
import zipfile


def a_zip(*entries, method=zipfile.ZIP_STORED) -> bytes:
    """A zip of pairs of a name, or a ZipInfo, and content."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content, compress_type=method)
    return file.getvalue()


def label_lines(*labels) -> str:
    """`labels.jsonl` of pairs of a picture's name and its label."""
    return "\n".join(json.dumps({"image": name, "label": label}) for name, label in labels)
