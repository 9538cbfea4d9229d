"""What can go wrong while a file goes out.

RoundhouseError
├── ArtifactDamaged         the store's file is not the one that was registered
├── NotAllowed
│   └── BadLink             the link is not one of ours, or is no longer whole
│       └── LinkExpired
└── Invalid
    └── RangeNotSatisfiable the bytes asked for lie behind the file's end
"""

from registry.errors import Invalid, NotAllowed, RoundhouseError


class ArtifactDamaged(RoundhouseError):
    """The stored file is not the one that was registered; restore it from a backup, or upload the version again."""

    code = "artifact_damaged"


def other_bytes(artifact: object) -> ArtifactDamaged:
    return ArtifactDamaged(
        f"The stored file {artifact} has other bytes than were registered; "
        "restore it from a backup, or upload the version again."
    )


class BadLink(NotAllowed):
    """This is not a download link of ours, or not all of one; ask for a new one."""

    code = "bad_link"


class LinkExpired(BadLink):
    """This download link has expired; ask for a new one."""

    code = "link_expired"


class RangeNotSatisfiable(Invalid):
    """The file has no bytes where the range begins; Content-Range says how long it is."""

    code = "range_not_satisfiable"

    def __init__(self, message: str | None = None, *, size_bytes: int = 0) -> None:
        self.size_bytes = size_bytes
        super().__init__(message)
