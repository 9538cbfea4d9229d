"""Errors of the catalogue.

RoundhouseError
├── ArtifactDamaged         the stored file is not the one that was registered
├── NotAllowed
│   └── BadLink             forged or truncated
│       └── LinkExpired
└── Invalid
    ├── InvalidTaskConfig   a field of a version's task configuration is wrong
    └── RangeNotSatisfiable the range starts after the file's end
"""

from registry.errors import Invalid, NotAllowed, RoundhouseError


class ArtifactDamaged(RoundhouseError):
    """The stored file is not the one that was registered; restore it from a backup, or upload the version again."""

    code = "artifact_damaged"


def hash_mismatch(artifact: object) -> ArtifactDamaged:
    return ArtifactDamaged(
        f"The content of the stored file {artifact} does not match its registered hash; "
        "restore it from a backup, or upload the version again."
    )


class BadLink(NotAllowed):
    """This is not a valid download link; request a new one."""

    code = "bad_link"


class LinkExpired(BadLink):
    """This download link has expired; request a new one."""

    code = "link_expired"


class InvalidTaskConfig(Invalid):
    """The task configuration is not valid."""

    code = "invalid_task_config"

    def __init__(self, message: str | None = None, *, field: str = "") -> None:
        self.field = field
        self.members = {"errors": [{"pointer": f"#/task_config/{field}", "detail": message}]}
        super().__init__(f"Task configuration, `{field}`: {message}")


class RangeNotSatisfiable(Invalid):
    """The range starts after the end of the file; Content-Range gives the file's length."""

    code = "range_not_satisfiable"

    def __init__(self, message: str | None = None, *, size_bytes: int = 0) -> None:
        self.size_bytes = size_bytes
        super().__init__(message)
