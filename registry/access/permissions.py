"""DRF's default permission. What a view does not allow is denied."""

from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

if TYPE_CHECKING:  # rest_framework.views loads this module while it is itself half loaded
    from rest_framework.views import APIView


class DenyAll(BasePermission):
    """The default: a view must say who may use it."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        return False
