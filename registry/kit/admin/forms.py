"""Forms that forms.js sends: a browser would forget the chosen files when a page comes back with errors."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect


def redirect_from_form(request: HttpRequest, address: str) -> HttpResponse:
    """Redirect after a form was accepted; a script is told the address, because it cannot see a redirect's."""
    if request.headers.get("X-Keep-Files"):
        return JsonResponse({"location": address})
    return redirect(address)
