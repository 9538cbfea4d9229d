"""The only code that fetches user-supplied URLs, such as webhooks."""

from registry.record.fetcher.client import AT_ONCE_PER_HOST, Fetched, Fetcher, default_fetcher
from registry.record.fetcher.urls import AllowedHosts, FetchTarget, read_url
from registry.record.fetcher.wire import FetchLimits

__all__ = [
    "AT_ONCE_PER_HOST",
    "AllowedHosts",
    "FetchLimits",
    "FetchTarget",
    "Fetched",
    "Fetcher",
    "default_fetcher",
    "read_url",
]
