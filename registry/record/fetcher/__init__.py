"""The one way in which Roundhouse fetches an address that a person gave: webhooks now, images later."""

from registry.record.fetcher.client import Fetched, Fetcher, default_fetcher
from registry.record.fetcher.wire import Limits

__all__ = ["Fetched", "Fetcher", "Limits", "default_fetcher"]
