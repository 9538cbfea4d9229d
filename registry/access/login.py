"""The login page: Django's, with one guess at a time for each name and address.

django-axes counts a failure after the password was looked at, so guesses that come at once would all pass its
limit. Those that come while another is being looked at are turned away without one.
"""

import threading

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache

from registry.access.client_address import client_address

_checking: set[tuple[str, str]] = set()
_guard = threading.Lock()


@never_cache
def login(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return admin.site.login(request)
    guess = (request.POST.get("username", ""), client_address(request))
    with _guard:
        is_alone = guess not in _checking
        _checking.add(guess)
    if not is_alone:
        return HttpResponse(
            "Another login under this name is being checked; try again.",
            status=429,
            headers={"Retry-After": "1"},
        )
    try:
        return admin.site.login(request)
    finally:
        with _guard:
            _checking.discard(guess)
