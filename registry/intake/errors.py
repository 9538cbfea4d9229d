"""Errors of uploads and bundles.

RoundhouseError
├── InsufficientStorage     the disk has no room for the file
├── Conflict
│   ├── TooManyUploads      the caller has too many open uploads
│   ├── UploadInUse         another request is writing to it or completing it
│   ├── UploadEnded         it is complete, failed or abandoned
│   ├── BundleKeyMissing    there is no key to sign a bundle with
│   └── WrongOffset         not the number of bytes received; the error includes that number
│       └── UploadIncomplete
└── Invalid
    ├── LengthMissing
    ├── BundleRefused       it is no bundle, or was altered
    │   └── BundleNotTrusted  it is not signed, or with a key that is not trusted
    ├── PartBeyondEnd       more bytes than announced
    ├── HashDiffers         a different hash from the one announced
    ├── FileRefused         (of the file scan)
    │   ├── FormatNotConverted  a format that could be converted, but is not here
    │   ├── TaskFileRefused   a file beside the model is too large, or was sent twice
    │   └── TaskTakesNoFiles
    └── BodyTooLarge
        ├── UploadTooLarge
        └── PartTooLarge
"""

from registry.errors import BodyTooLarge, Conflict, Invalid, RoundhouseError
from registry.intake.file_scan.errors import FileRefused


class InsufficientStorage(RoundhouseError):
    """The disk has no room for this file; free some space, then start again."""

    code = "insufficient_storage"


class TooManyUploads(Conflict):
    """You have too many uploads open; complete or abandon one first."""

    code = "too_many_uploads"


class UploadInUse(Conflict):
    """Another request is writing to this upload or completing it; try again in a moment."""

    code = "upload_in_use"
    retryable = True


class UploadEnded(Conflict):
    """This upload has ended; start another."""

    code = "upload_ended"


class BundleKeyMissing(Conflict):
    """This installation has no key to sign bundles with; set ROUNDHOUSE_BUNDLE_SECRET, then export again."""

    code = "bundle_key_missing"


class WrongOffset(Conflict):
    """The part does not start where the received bytes end; continue at `offset`."""

    code = "wrong_offset"

    def __init__(self, message: str | None = None, *, offset: int = 0) -> None:
        self.members = {"offset": offset}  # added to the problem document
        super().__init__(message)


class UploadIncomplete(WrongOffset):
    """Bytes are missing; send them from `offset` on, then complete the upload."""

    code = "upload_incomplete"


class LengthMissing(Invalid):
    """Send a Content-Length header; chunked bodies are not accepted here."""

    code = "length_required"


class BundleRefused(Invalid):
    """This is not a bundle, or it was altered; get it again, or export the version again."""

    code = "bundle_refused"


class BundleNotTrusted(BundleRefused):
    """This bundle is not signed with a key that this installation trusts; see docs/bundles.md."""

    code = "bundle_not_trusted"


class PartBeyondEnd(Invalid):
    """The part exceeds the announced size; start another upload with the right size."""

    code = "part_beyond_end"


class HashDiffers(Invalid):
    """The file does not have the announced hash; start again."""

    code = "hash_differs"


class FormatNotConverted(FileRefused):
    """Files in this format are not converted here; export the model as ONNX and send that."""

    code = "format_not_converted"


class TaskFileRefused(FileRefused):
    """A file beside the model cannot be used; leave it out, or send another."""

    code = "task_file_refused"


class TaskTakesNoFiles(FileRefused):
    """The Model's task uses no files beside the model; leave them out, or choose another task."""

    code = "task_takes_no_files"


class UploadTooLarge(BodyTooLarge):
    """The file is larger than this installation accepts."""

    code = "file_too_large"


class PartTooLarge(BodyTooLarge):
    """A part may be at most 8 MiB; send smaller parts."""

    code = "part_too_large"
