"""What can go wrong while a file comes in.

RoundhouseError
├── InsufficientStorage     the disk has no room for the file
├── Conflict
│   ├── TooManyUploads      the caller's own open ones
│   ├── UploadInUse         somebody else writes to it or completes it now
│   ├── UploadEnded         it is complete, failed or abandoned
│   └── WrongOffset         the caller and the server do not agree on what has come; says what has
│       └── UploadIncomplete
└── Invalid
    ├── LengthMissing
    ├── PartBeyondEnd       more bytes than were announced
    ├── HashDiffers         other bytes than were announced
    └── BodyTooLarge
        ├── FileTooLarge
        └── PartTooLarge
"""

from registry.errors import BodyTooLarge, Conflict, Invalid, RoundhouseError


class InsufficientStorage(RoundhouseError):
    """The disk has no room for this file; free some space, then begin again."""

    code = "insufficient_storage"


class TooManyUploads(Conflict):
    """You have too many uploads open; complete or abandon one first."""

    code = "too_many_uploads"


class UploadInUse(Conflict):
    """Another request writes to this upload or completes it; ask again in a moment."""

    code = "upload_in_use"
    retryable = True


class UploadEnded(Conflict):
    """This upload takes no more bytes; begin another."""

    code = "upload_ended"


class WrongOffset(Conflict):
    """The part does not begin where the upload stands; go on at `offset`."""

    code = "wrong_offset"

    def __init__(self, message: str | None = None, *, offset: int = 0) -> None:
        self.members = {"offset": offset}  # go into the problem
        super().__init__(message)


class UploadIncomplete(WrongOffset):
    """Bytes are still missing; send them from `offset`, then complete the upload."""

    code = "upload_incomplete"


class LengthMissing(Invalid):
    """Send a Content-Length header; chunked bodies are not accepted here."""

    code = "length_required"


class PartBeyondEnd(Invalid):
    """The part holds more bytes than were announced; begin another upload with the right size."""

    code = "part_beyond_end"


class HashDiffers(Invalid):
    """What came is not what was announced; begin again."""

    code = "hash_differs"


class FileTooLarge(BodyTooLarge):
    """The file is larger than this installation accepts."""

    code = "file_too_large"


class PartTooLarge(BodyTooLarge):
    """A part has at most 8 MiB; send the file in more of them."""

    code = "part_too_large"
