"""What can go wrong in the registry.

RoundhouseError
├── NotFound                no such object, or not visible to this caller
│   ├── NoLiveVersion       the Model has no current split
│   └── ArtifactMissing     the store does not have the file
├── NotAllowed              the caller lacks a right
├── NotAuthenticated        no key, or an invalid one
├── Conflict                the change does not fit the current state
│   ├── NameTaken
│   ├── StaleState          someone else changed it first
│   ├── StalePrecondition   the caller's If-Match names an older state
│   ├── IdempotencyInFlight the same request is running now
│   ├── VersionNotReady     it has not passed its check, or is archived
│   ├── ApprovalNeeded      a second person has to approve
│   ├── GateFailed          a gate keeps the version from going live
│   │   └── GoldenGateFailed  its result on the golden set is too low
│   └── ModelFrozen         no version may gain live traffic
├── Stopped                 an operator stopped the Model, with a message
├── Invalid                 the request itself is wrong
│   ├── BodyTooLarge
│   ├── BadPageSize
│   ├── BadIdempotencyKey
│   ├── IdempotencyMismatch the key was used for another request
│   └── UrlRefused          Roundhouse does not fetch this URL
│       ├── BadUrl
│       ├── SchemeNotAllowed
│       ├── PortNotAllowed
│       ├── AddressNotAllowed
│       └── RedirectNotAllowed
└── FetchFailed             the remote host or the network failed
    ├── DnsFailed
    ├── ConnectFailed
    ├── TlsFailed
    ├── ResponseTooLarge
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
    """The file is not in the store."""

    code = "artifact_missing"


class NotAllowed(RoundhouseError):
    """You lack the right to do this."""

    code = "not_allowed"


class NotAuthenticated(RoundhouseError):
    """A valid API key is needed: `Authorization: Bearer <key>`."""

    code = "not_authenticated"


class Conflict(RoundhouseError):
    """The change does not fit the current state."""

    code = "conflict"


class NameTaken(Conflict):
    """The name is taken."""

    code = "name_taken"


class StaleState(Conflict):
    """Someone else changed this first; reload, then repeat your change if it still applies."""

    code = "stale_state"


class VersionNotReady(Conflict):
    """The version is not ready to serve."""

    code = "version_not_ready"


class ApprovalNeeded(Conflict):
    """This change needs a second person's approval; request it."""

    code = "approval_needed"


class GateFailed(Conflict):
    """A gate failed, so this version cannot take live traffic."""

    code = "gate_failed"


class GoldenGateFailed(GateFailed):
    """The version's result on the Model's golden set is too low, or the set was made for another pre-processing."""

    code = "golden_gate_failed"


class ModelFrozen(Conflict):
    """The Model is frozen; no version may gain live traffic."""

    code = "model_frozen"


class Stopped(RoundhouseError):
    """An operator stopped this Model; it answers again when an operator starts it."""

    code = "stopped"


class Invalid(RoundhouseError):
    """The request is not valid."""

    code = "invalid"


class UrlRefused(Invalid):
    """Roundhouse does not fetch this URL."""

    code = "url_refused"


class BadUrl(UrlRefused):
    """The URL is not valid; write it as https://host/path."""

    code = "bad_url"


class SchemeNotAllowed(UrlRefused):
    """Only http and https URLs are fetched."""

    code = "scheme_not_allowed"


class PortNotAllowed(UrlRefused):
    """Only ports 80 and 443 are allowed; an administrator can allow others in ROUNDHOUSE_FETCH_ALLOWED_HOSTS."""

    code = "port_not_allowed"


class AddressNotAllowed(UrlRefused):
    """The host is not on the public internet; an administrator can allow it in ROUNDHOUSE_FETCH_ALLOWED_HOSTS."""

    code = "address_not_allowed"


class RedirectNotAllowed(UrlRefused):
    """The URL redirects, and redirects are not followed; use the final URL."""

    code = "redirect_not_allowed"


class FetchFailed(RoundhouseError):
    """The URL could not be fetched."""

    code = "fetch_failed"
    retryable = True


class DnsFailed(FetchFailed):
    """The host name could not be resolved."""

    code = "dns_failed"


class ConnectFailed(FetchFailed):
    """The host does not accept connections."""

    code = "connect_failed"


class TlsFailed(FetchFailed):
    """No secure connection could be made: the certificate is not valid for the host name, or TLS failed."""

    code = "tls_failed"


class ResponseTooLarge(FetchFailed):
    """The response is too large."""

    code = "too_large"
    retryable = False


class TooSlow(FetchFailed):
    """The response took too long."""

    code = "too_slow"


class BadResponse(FetchFailed):
    """The response is not valid HTTP, was cut off, or has an encoding that was not requested."""

    code = "bad_response"


class FetcherBusy(FetchFailed):
    """Too many fetches are in progress, in total or to this host."""

    code = "fetcher_busy"


class StalePrecondition(Conflict):
    """This has changed since you read it; read it again, then repeat your change."""

    code = "stale_precondition"


class IdempotencyInFlight(Conflict):
    """A request with this Idempotency-Key is still running; repeat it in a moment to get its answer."""

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
