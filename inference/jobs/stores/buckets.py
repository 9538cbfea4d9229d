"""Files below a prefix of an S3 bucket, through the same storage as artifacts."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from django.conf import settings
from django.core.files import File
from django.core.files.storage import Storage

from inference.jobs.stores.errors import BadStore, NotInStore, StoreUnavailable
from inference.rows.errors import FileTooLarge
from inference.rows.limits import LIMITS
from registry.catalogue.artifacts import s3_storage


class BucketFiles:
    def __init__(self, bucket: str, prefix: str, storage: Storage | None = None) -> None:
        check_bucket(bucket, prefix)
        self._storage = storage or s3_storage(bucket, prefix)

    @contextmanager
    def reading(self, path: str) -> Iterator[IO[bytes]]:
        try:
            file = self._storage.open(path)
            if file.size > LIMITS.bytes:
                raise FileTooLarge(f"{path!r} has {file.size:,} bytes; {LIMITS.bytes:,} is the most.")
            file.read(0)  # gets the object, and the faults that come of that
        except FileTooLarge:
            raise
        except FileNotFoundError:
            raise NotInStore(f"The store has no {path!r}.") from None
        except Exception as error:  # noqa: BLE001 (botocore has a class for each fault, and they name the bucket)
            raise _unavailable(path, error) from None
        with file:
            yield file

    @contextmanager
    def writing(self, path: str) -> Iterator[IO[bytes]]:
        """Sent when the block has ended well; a bucket shows an object whole or not at all."""
        scratch = Path(settings.DATA_DIR) / "tmp"
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=scratch) as file:
            yield file
            file.seek(0)
            try:
                self._storage.save(path, File(file))
            except Exception as error:  # noqa: BLE001
                raise _unavailable(path, error) from None


def check_bucket(bucket: str, prefix: str) -> None:
    """Raise BadStore where the store would hold our own artifacts."""
    if "/" in bucket or ":" in bucket:
        raise BadStore("Name the bucket alone; the way inside it is the prefix.")
    own = urlsplit(settings.ARTIFACT_STORE_URL or "")
    kept = own.path.strip("/")
    inside = f"{prefix}/".startswith(f"{kept}/" if kept else "") or f"{kept}/".startswith(
        f"{prefix}/" if prefix else ""
    )
    if own.netloc == bucket and inside:
        raise BadStore(
            "This is where model files are kept; choose another bucket, or a prefix beside theirs."
        )


def _unavailable(path: str, error: Exception) -> StoreUnavailable:
    return StoreUnavailable(f"The store cannot be used for {path!r} ({type(error).__name__}); try again.")
