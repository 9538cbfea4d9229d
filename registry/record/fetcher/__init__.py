"""The only code that fetches a URL that someone entered, such as a webhook."""

from registry.record.fetcher.client import Fetched, Fetcher, default_fetcher
from registry.record.fetcher.wire import FetchLimits

__all__ = ["FetchLimits", "Fetched", "Fetcher", "default_fetcher"]
