"""The page of a verb: its form, what it will do, and back to the row when it is done."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from registry.errors import RoundhouseError


def answer_verb(
    request: HttpRequest,
    *,
    site: admin.AdminSite,
    opts: Any,
    name: str,
    of: str,
    warning: str,
    form: Form,
    run: Callable[[], str],
    back: str,
) -> HttpResponse:
    """Show the form, or `run` the verb with it: it returns what to tell. A refusal stands in the form."""
    if request.method == "POST" and form.is_valid():
        try:
            messages.success(request, run())
            return redirect(back)
        except RoundhouseError as error:
            form.add_error(None, str(error))
    return TemplateResponse(
        request,
        "admin/registry/verb.html",
        {
            **site.each_context(request),
            "opts": opts,
            "title": f"{name}: {of}",
            "verb": {"title": name, "warning": warning},
            "form": form,
            "back": back,
        },
    )
