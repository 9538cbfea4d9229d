"""Named stores: folders and buckets outside the house that jobs may read and write, as an admin allows."""

from inference.jobs.stores.files import fetch, put, writing
from inference.jobs.stores.references import reference
from inference.jobs.stores.services import StoreWish, add_store, change_store, remove_store

__all__ = ["StoreWish", "add_store", "change_store", "fetch", "put", "reference", "remove_store", "writing"]
