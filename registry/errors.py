"""What can go wrong in the registry.

RoundhouseError
├── NotFound                no such object, or not for this caller
│   ├── NoLiveVersion       the Model has no current split
│   └── ArtifactMissing     the store does not hold the file
├── NotAllowed              the caller lacks a right
├── NotAuthenticated        no key, or one that is not valid
├── Conflict                the change does not fit the present state
│   ├── NameTaken
│   ├── StaleState          someone else changed it first
│   ├── StalePrecondition   the caller's If-Match names an older state
│   ├── IdempotencyInFlight the same request is running now
│   ├── VersionNotReady     it has not passed its checks, or is archived
│   ├── ApprovalNeeded      another person has to agree first
│   ├── GateFailed          a number speaks against giving it live share
│   │   └── GoldenGateFailed  it does worse on the golden set than is demanded
│   └── ModelFrozen         nothing may gain live share now
├── Stopped                 an operator stopped the Model, with a text
├── Invalid                 the request itself is wrong
│   ├── BodyTooLarge
│   ├── BadPageSize
│   ├── BadIdempotencyKey
│   ├── IdempotencyMismatch the key stands for another request
│   └── UrlRefused          an address that Roundhouse does not fetch
│       ├── BadUrl
│       ├── SchemeNotAllowed
│       ├── PortNotAllowed
│       ├── AddressNotAllowed
│       └── RedirectNotAllowed
└── FetchFailed             the other side's fault, or the network's
    ├── DnsFailed
    ├── ConnectFailed
    ├── TlsFailed
    ├── TooLarge
    ├── TooSlow
    ├── BadResponse
    └── FetcherBusy
"""

from typing import ClassVar


class RoundhouseError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__ or self.code)


class NotFound(RoundhouseError):
    """There is no such object, or you may not see it."""

    code = "not_found"


class NoLiveVersion(NotFound):
    """The Model has no live version; promote one first."""

    code = "no_live_version"
    retryable = True


class ArtifactMissing(NotFound):
    """The store does not hold this file."""

    code = "artifact_missing"


class NotAllowed(RoundhouseError):
    """You lack the right to do this."""

    code = "not_allowed"


class NotAuthenticated(RoundhouseError):
    """A valid API key is needed: `Authorization: Bearer <key>`."""

    code = "not_authenticated"


class Conflict(RoundhouseError):
    """The change does not fit the present state."""

    code = "conflict"


class NameTaken(Conflict):
    """The name is taken."""

    code = "name_taken"


class StaleState(Conflict):
    """Somebody else changed this first; look again and repeat if you still want it."""

    code = "stale_state"


class VersionNotReady(Conflict):
    """The version is not ready to answer."""

    code = "version_not_ready"


class ApprovalNeeded(Conflict):
    """The Model asks for two people; ask for the change, and let somebody else approve it."""

    code = "approval_needed"


class GateFailed(Conflict):
    """A gate speaks against giving this version live share."""

    code = "gate_failed"


class GoldenGateFailed(GateFailed):
    """The version does worse on the Model's golden set than is demanded."""

    code = "golden_gate_failed"


class ModelFrozen(Conflict):
    """The Model is frozen; nothing may gain live share."""

    code = "model_frozen"


class Stopped(RoundhouseError):
    """An operator stopped this Model; it answers again when an operator starts it."""

    code = "stopped"


class Invalid(RoundhouseError):
    """The request is not valid."""

    code = "invalid"


class UrlRefused(Invalid):
    """Roundhouse does not fetch this address."""

    code = "url_refused"


class BadUrl(UrlRefused):
    """The URL cannot be understood; write it as https://host/path."""

    code = "bad_url"


class SchemeNotAllowed(UrlRefused):
    """Only http and https addresses are fetched."""

    code = "scheme_not_allowed"


class PortNotAllowed(UrlRefused):
    """Only ports 80 and 443 are fetched; an administrator can allow others in ROUNDHOUSE_FETCH_ALLOWED_HOSTS."""

    code = "port_not_allowed"


class AddressNotAllowed(UrlRefused):
    """The host is not on the public internet; an administrator can allow it in ROUNDHOUSE_FETCH_ALLOWED_HOSTS."""

    code = "address_not_allowed"


class RedirectNotAllowed(UrlRefused):
    """The address answered with a redirect that is not followed; give the final address."""

    code = "redirect_not_allowed"


class FetchFailed(RoundhouseError):
    """The address could not be fetched."""

    code = "fetch_failed"
    retryable = True


class DnsFailed(FetchFailed):
    """The host's name could not be resolved."""

    code = "dns_failed"


class ConnectFailed(FetchFailed):
    """The host does not accept connections."""

    code = "connect_failed"


class TlsFailed(FetchFailed):
    """No secure connection: the host's certificate is not valid for its name, or TLS failed."""

    code = "tls_failed"


class TooLarge(FetchFailed):
    """The answer is larger than what is fetched."""

    code = "too_large"
    retryable = False


class TooSlow(FetchFailed):
    """The answer did not come in time."""

    code = "too_slow"


class BadResponse(FetchFailed):
    """The answer is not proper HTTP, was cut off, or has an encoding that was not asked for."""

    code = "bad_response"


class FetcherBusy(FetchFailed):
    """Too many fetches were under way, some of them perhaps to the same host."""

    code = "fetcher_busy"


class StalePrecondition(Conflict):
    """This has changed since you read it; read it again, then repeat your change."""

    code = "stale_precondition"


class IdempotencyInFlight(Conflict):
    """A request with this Idempotency-Key is running now; ask again in a moment for its answer."""

    code = "idempotency_in_flight"
    retryable = True


class BodyTooLarge(Invalid):
    """The body is larger than this route accepts."""

    code = "body_too_large"


class BadPageSize(Invalid):
    """`page_size` must be a whole number, 1 or more."""

    code = "bad_page_size"


class BadIdempotencyKey(Invalid):
    """Send the Idempotency-Key as 1 to 255 printable characters, quoted or bare."""

    code = "bad_idempotency_key"


class IdempotencyMismatch(Invalid):
    """This Idempotency-Key was used for another request within the last 24 hours; choose a new one."""

    code = "idempotency_mismatch"
