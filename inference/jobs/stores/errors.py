"""What can go wrong with stores.

RoundhouseError
├── NotFound
│   └── NotInStore          the store has no such file
├── Invalid
│   ├── BadStore            a store that cannot be
│   └── BadStorePath        a path that could lead out of its store
└── StoreUnavailable        the store does not answer, or this process may not use it
"""

from registry.errors import Invalid, NotFound, RoundhouseError


class NotInStore(NotFound):
    """The store has no such file."""

    code = "not_in_store"


class BadStore(Invalid):
    """The store cannot be used as it is described."""

    code = "bad_store"


class BadStorePath(Invalid):
    """A path in a store is relative, with / between names, and none of them begins with a dot."""

    code = "bad_store_path"


class StoreUnavailable(RoundhouseError):
    """The store does not answer; try again."""

    code = "store_unavailable"
    retryable = True
