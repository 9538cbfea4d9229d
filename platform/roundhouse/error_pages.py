"""The admin's pages for 403 and 404: what is wrong, and who can help."""

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from registry.access.policies import Right, roles_with
from registry.kit.actors import LacksRight

_NAMES_SHOWN = 8


def forbidden(request: HttpRequest, error: Exception | None) -> HttpResponse:
    """Names the right that is missing, if the page knows it, and people who hold it or can give it."""
    if not _is_staff(request):
        return _page(request, 403, "You may not open this page", ["Log in to continue."])
    right = error.right if isinstance(error, LacksRight) else None
    model_id = error.model_id if isinstance(error, LacksRight) else None
    sentences = [str(error) if right else "Your roles do not include this page."]
    if right and (holders := _people(roles_with(right), model_id)):
        sentences.append(f"{_listed(holders)} can do it.")
    givers = _people(roles_with(Right.MANAGE_PEOPLE))
    if givers:
        sentences.append(f"{_listed(givers)} can change your roles.")
    return _page(request, 403, "You may not do this", sentences)


def not_found(request: HttpRequest, _error: Exception | None) -> HttpResponse:
    sentences = ["Nothing exists at this address, or it belongs to a Model that you may not see."]
    if not _is_staff(request):
        sentences = ["Nothing exists at this address."]
    return _page(request, 404, "Nothing here", sentences)


def _is_staff(request: HttpRequest) -> bool:
    user = getattr(request, "user", None)
    return bool(user and user.is_active and user.is_staff)


def _page(request: HttpRequest, status: int, title: str, sentences: list[str]) -> HttpResponse:
    is_staff = _is_staff(request)
    context = {
        **(admin.site.each_context(request) if is_staff else {}),
        "title": title,
        "sentences": sentences,
        "address": request.path[:200],
        "layout": "admin/base_site.html" if is_staff else "unfold/layouts/unauthenticated.html",
    }
    return TemplateResponse(request, "admin/error_page.html", context, status=status).render()


def _people(roles: list[str], model_id: int | None = None) -> list[str]:
    """The active people with one of these roles, and superusers; with a scope, only those whose scope has the Model."""
    reach = Q(object_scope=None)
    if model_id is not None:
        reach |= Q(object_scope__models=model_id)
    able = Q(groups__name__in=roles) | Q(is_superuser=True)
    people = User.objects.filter(reach, able, is_active=True).distinct()
    return list(people.order_by("username").values_list("username", flat=True)[: _NAMES_SHOWN + 1])


def _listed(names: list[str]) -> str:
    if len(names) > _NAMES_SHOWN:
        return f"{', '.join(names[:_NAMES_SHOWN])} and others"
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
