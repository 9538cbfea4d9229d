"""Login and password change: Django's pages, with one password check at a time and an audit record."""

import threading
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.forms import AdminPasswordChangeForm
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.models import User
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse_lazy
from django.views.decorators.cache import never_cache

from registry.access.services import set_password
from registry.kit.admin.theme import actor

_checking: set[tuple[str, str]] = set()
_guard = threading.Lock()


@never_cache
def login(request: HttpRequest) -> HttpResponse:
    """Show Django's login page, and check one guess at a time for each name and address.

    django-axes counts a failure after the password has been checked, so parallel guesses would all get past its limit.
    Guesses that arrive while another is being checked are refused unchecked.
    """
    if request.method != "POST":
        return admin.site.login(request)
    guess = (request.POST.get("username", ""), client_address(request))
    with _guard:
        is_alone = guess not in _checking
        _checking.add(guess)
    if not is_alone:
        return HttpResponse(
            "Another login with this name is being checked; try again.",
            status=429,
            headers={"Retry-After": "1"},
        )
    try:
        return admin.site.login(request)
    finally:
        with _guard:
            _checking.discard(guess)


def client_address(request: HttpRequest) -> str:
    """Return the address that the outermost trusted proxy saw.

    Each proxy appends its peer's address to X-Forwarded-For, so with n trusted proxies the n-th entry from the right
    is genuine; the client may have forged everything to the left of it.
    """
    direct: str = request.META.get("REMOTE_ADDR", "")
    trusted: int = settings.TRUSTED_PROXIES
    hops = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    if not trusted or len(hops) < trusted:
        return direct
    try:
        return str(ip_address(hops[-trusted]))
    except ValueError:
        return direct


class OwnPasswordView(PasswordChangeView):
    """The admin's page for changing one's own password. The change is recorded."""

    form_class = AdminPasswordChangeForm
    success_url = reverse_lazy("admin:password_change_done")

    def form_valid(self, form: Any) -> HttpResponse:
        user: User = form.user
        set_password(user=user, password=form.cleaned_data["new_password1"], by=actor(self.request))
        update_session_auth_hash(self.request, user)
        return HttpResponseRedirect(self.get_success_url())

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**super().get_context_data(**kwargs), **admin.site.each_context(self.request)}
