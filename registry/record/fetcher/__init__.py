"""The only code that fetches user-supplied URLs, such as webhooks."""

from registry.record.fetcher.client import Fetched, Fetcher, default_fetcher
from registry.record.fetcher.wire import FetchLimits

__all__ = ["FetchLimits", "Fetched", "Fetcher", "default_fetcher"]
