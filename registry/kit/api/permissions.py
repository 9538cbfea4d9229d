"""Rights as DRF permissions. What a view does not name is denied."""

from typing import TYPE_CHECKING, Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from registry.kit.actors import Actor

if TYPE_CHECKING:  # rest_framework.views loads permissions while it is itself half loaded
    from rest_framework.views import APIView


def actor_of(request: Request) -> Actor:
    """Who acts: the key's or the session's, as authentication has fixed it."""
    found: Actor = request._request.actor  # type: ignore[attr-defined]
    return found


def holds(request: Request, right: str) -> bool:
    """Whether the caller holds the right, for some Model at least; services ask about the Model that is meant."""
    # Without an authenticator of this view, the session behind `request.actor` has not passed its CSRF check.
    return request.successful_authenticator is not None and right in actor_of(request).rights


def HasRight(right: str) -> type[BasePermission]:
    """Make the permission for views with one right: `permission_classes = [HasRight("read_registry")]`."""

    class Permission(BasePermission):
        def has_permission(self, request: Request, view: "APIView") -> bool:
            return holds(request, right)

    return Permission


class RightsOfActions(BasePermission):
    """Look the action up in the view set's `rights`; of several, one is enough."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if (
            view.action is None
        ):  # a method that the route does not know: DRF answers 405 to those who may look
            return request.successful_authenticator is not None
        wanted = view.rights.get(view.action, ())
        rights = (wanted,) if isinstance(wanted, str) else wanted
        return any(holds(request, right) for right in rights)
