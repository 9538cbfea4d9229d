"""Bundles as they are exported, altered and forged."""

import hashlib
import io
import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from registry.intake.bundles.bundle_file import write_bundle
from registry.intake.bundles.keys import BundleKey
from registry.intake.bundles.manifest import (
    EXAMPLES_FILE,
    GOLDEN_FILE,
    MODEL_FILE,
    BundledFile,
    BundledGoldenSet,
    BundleManifest,
)
from registry.intake.file_scan.sent_files import SentFile

SECRET, OTHER_SECRET = "s" * 40, "o" * 40
STAGING = BundleKey("staging", SECRET)
CONTENTS = {
    MODEL_FILE: b"not much of a model",
    "task-file-1": b"one\ntwo\n",
    EXAMPLES_FILE: b'[{"inputs":{"x":[[1]]},"expected":{"y":[[1]]}}]',
    GOLDEN_FILE: b'{"inputs":{"x":[1]},"label":"cat"}\n',
}


def bundled(contents):
    return tuple(
        BundledFile(name, hashlib.sha256(content).hexdigest(), len(content))
        for name, content in contents.items()
    )


def a_manifest(**changes) -> BundleManifest:
    manifest = BundleManifest(
        files=bundled(CONTENTS), model="demand", title="Demand", task="tensor", number=3, task_config={},
        task_files=("vocab.txt",), input_shapes={"x": [1, 4]}, serving={"max_batch_rows": 7}, origin={}, notes="of staging",
        golden_set=BundledGoldenSet("accuracy", 0.5, None), installation="https://staging.example.org",
        signature=None, preprocessing="", check=None,
    )  # fmt: skip
    return replace(manifest, **changes)


def a_bundle(manifest=None, contents=None, key=STAGING) -> bytes:
    """A whole bundle, of a few hundred bytes."""
    file = io.BytesIO()
    contents = contents or CONTENTS
    write_bundle(file, manifest or a_manifest(), {name: [content] for name, content in contents.items()}, key)
    return file.getvalue()


@contextmanager
def as_sent(path: Path, content: bytes):
    path.write_bytes(content)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield SentFile(path.name, descriptor, len(content))
    finally:
        os.close(descriptor)


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
