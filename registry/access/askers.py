"""Who asked for something that is used later: a mark to be signed, and the actor it stands for by then."""

from django.contrib.auth.models import AnonymousUser, User

from registry.access.keys import KeyTable
from registry.access.policies import actor_from_key, actor_from_user
from registry.errors import NotAllowed
from registry.kit.actors import Actor, Source

_USER, _KEY = "user", "key"


def mark_of(by: Actor) -> str:
    """Name the person or key; raise NotAllowed for whoever is neither, whose rights could not be asked for again."""
    if by.key_id is not None:
        return f"{_KEY}:{by.key_id}"
    if by.user_id is not None:
        return f"{_USER}:{by.user_id}"
    raise NotAllowed(f"{by.name} is neither a person nor a key.")


def actor_marked(mark: str, *, request_id: str = "") -> Actor:
    """Return the actor with the rights of now, asked of the database; without any where the key or person is gone."""
    kind, _, pk = mark.partition(":")
    if kind == _KEY:
        principal = KeyTable().still_valid([int(pk)]).get(int(pk))
        if principal is not None:
            return actor_from_key(principal, request_id=request_id)
    user = User.objects.filter(pk=pk).first() if kind == _USER else None
    return actor_from_user(user or AnonymousUser(), Source.API, request_id)
