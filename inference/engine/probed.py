"""What a file has passed in a disposable child, and the refusal of everything else."""

from dataclasses import dataclass

from inference.engine.backends import SessionOptions
from inference.engine.errors import NotProbed


@dataclass(frozen=True, slots=True)
class ProbeFact:
    """These bytes were loaded and run once: by this runtime, on this provider, with these options."""

    sha256: str
    runtime_version: str
    provider: str  # the one that really ran it
    options_digest: str


def check_probed(fact: ProbeFact, options: SessionOptions, runtime_version: str) -> None:
    """Refuse before loading: a native parser is only given bytes that a child has survived."""
    _compare("file", options.expected_sha256 or fact.sha256, fact.sha256)
    _compare("runtime", runtime_version, fact.runtime_version)
    _compare("options", options.digest, fact.options_digest)


def check_provider(fact: ProbeFact, provider: str) -> None:
    """Refuse after loading: the provider is only known then."""
    _compare("provider", provider, fact.provider)


def _compare(what: str, here: str, probed: str) -> None:
    if here != probed:
        raise NotProbed(
            f"The version has passed the probe with another {what} ({probed[:40]}, here {here[:40]});"
            " run its checks again in this pool."
        )
