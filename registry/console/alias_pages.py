"""Aliases: where each points and pointed, and who may move it."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from registry.access.policies import Right
from registry.catalogue.models import CHAMPION, Alias, AliasGuard, AliasMove, Model
from registry.catalogue.policies import guard_allows, movers
from registry.catalogue.selectors import guard_of, guards_by_name, models_for
from registry.catalogue.services import guard_alias, move_alias, retire_alias, unguard_alias
from registry.console.alias_forms import GuardForm, MoveForm, NewGuardForm, RetireForm, UnguardForm
from registry.kit.actors import Actor
from registry.kit.admin.pages import CardPage
from registry.kit.admin.panels import Place, register_panel
from registry.kit.admin.theme import ModelAdmin, TabularInline, actor, display
from registry.kit.admin.verb_pages import VerbPages, answer_verb
from registry.kit.admin.verbs import ReasonForm, Verb

_GUARDED = (
    "Only those whom you choose can move or retire it then. Everybody else is refused, superusers too; "
    "commands on the machine itself are not."
)


def _move(alias: Alias, form: MoveForm, by: Actor) -> str:
    given = form.cleaned_data
    moved = move_alias(
        model=alias.model,
        name=alias.name,
        version=given["version"],
        reason=given["reason"],
        expected_revision=given["seen"],
        by=by,
    )
    return f"{moved} names version {given['version'].number}."


def _retire(alias: Alias, form: RetireForm, by: Actor) -> str:
    given = form.cleaned_data
    retire_alias(alias=alias, reason=given["reason"], expected_revision=given["seen"], by=by)
    return f"{alias} names no version any more."


def _is_movable(alias: Alias) -> bool:
    return alias.name != CHAMPION


_VERBS = (
    Verb("move", "Move", Right.MOVE_ALIAS, MoveForm, _move, _is_movable),
    Verb("retire", "Retire", Right.MOVE_ALIAS, RetireForm, _retire,
         lambda alias: _is_movable(alias) and alias.version is not None),
)  # fmt: skip


def draw_guards(request: HttpRequest, model: Model) -> SafeString | str:
    """On a Model's page: which names are guarded, and where to say so. Nothing where a reader has nothing to see."""
    guards = guards_by_name(model)
    may_guard = actor(request).may(Right.MANAGE_SETTINGS, model_id=model.pk)
    if not guards and not may_guard:
        return ""
    lines = [(guard, movers(guard), _guard_buttons(model, guard.name, guard)) for guard in guards.values()]
    shown = {"model": model, "lines": lines, "may_guard": may_guard}
    return render_to_string("admin/registry/guards.html", shown, request)


def _guard_buttons(model: Model, name: str, guard: AliasGuard | None) -> list[tuple[str, str]]:
    """(title, address) of what may be done about the guard of a name."""
    page, out = (
        reverse(f"admin:registry_alias_{verb}", args=[model.slug, name]) for verb in ("guard", "unguard")
    )
    if guard is None:
        return [("Say who may move it", page)]
    return [("Change who may move it", page), ("Take the guard away", out)]


class MoveInline(TabularInline[AliasMove, Alias]):
    model = AliasMove
    fields = readonly_fields = ("version", "from_at", "to_at", "moved_by", "reason")
    extra = 0

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("version__model", "alias__model")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True  # whoever sees the alias sees where it was

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Alias)
class AliasPage(VerbPages, CardPage, ModelAdmin[Alias]):
    empty_text = "An alias is a name that callers use for a version: champion follows the split."
    verbs = _VERBS
    list_display = ["__str__", "points_to", "moved_by"]
    list_select_related = ["model", "version"]
    search_fields = ["model__slug", "name"]
    fields = readonly_fields = ("model", "name", "points_to")
    inlines = [MoveInline]
    change_form_outer_before_template = "admin/registry/alias_card.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alias]:
        guards = AliasGuard.objects.filter(model=OuterRef("model"), name=OuterRef("name"))
        rows: QuerySet[Alias] = super().get_queryset(request).annotate(has_guard=Exists(guards))
        return rows

    @display(description="version")
    def points_to(self, alias: Alias) -> str:
        return str(alias.version.number) if alias.version is not None else "retired"

    @display(description="moved by")
    def moved_by(self, alias: Alias) -> str:
        if alias.name == CHAMPION:
            return "the split"
        return "whom its guard names" if alias.has_guard else "whoever may move aliases"  # type: ignore[attr-defined]

    def card(self, request: HttpRequest, alias: Alias) -> dict[str, Any]:
        guard, model, by = guard_of(alias.model, alias.name), alias.model, actor(request)
        may_guard = _is_movable(alias) and by.may(Right.MANAGE_SETTINGS, model_id=model.pk)
        verbs = self.buttons(request, alias) if guard is None or guard_allows(guard, by) else []
        return {
            "row": alias,
            "is_champion": alias.name == CHAMPION,
            "guard": guard,
            "movers": movers(guard) if guard is not None else [],
            "buttons": [*verbs, *(_guard_buttons(model, alias.name, guard) if may_guard else [])],
        }

    def get_urls(self) -> list[URLPattern]:
        """Guards go by names: there may be one before there is an alias."""
        pages: list[tuple[str, Callable[..., HttpResponse], str]] = [
            ("guards/<str:slug>/", self.guard_another, "registry_alias_guard_another"),
            ("guards/<str:slug>/<str:name>/", self.guard, "registry_alias_guard"),
            ("guards/<str:slug>/<str:name>/take-away/", self.unguard, "registry_alias_unguard"),
        ]
        return [
            *(path(way, self.admin_site.admin_view(view), name=name) for way, view, name in pages),
            *super().get_urls(),
        ]

    def guard_another(self, request: HttpRequest, slug: str) -> HttpResponse:
        model = _model_to_guard(request, slug)
        form = NewGuardForm(request.POST or None, row=model)
        return self._answer(
            request, form, name="Guard an alias", of=slug, warning=_GUARDED, back=_model_page(model),
            run=lambda: _set(form, form.cleaned_data["name"], actor(request)),
        )  # fmt: skip

    def guard(self, request: HttpRequest, slug: str, name: str) -> HttpResponse:
        model = _model_to_guard(request, slug)
        form = GuardForm(request.POST or None, row=model, guard=guard_of(model, name))
        return self._answer(
            request, form, name="Say who may move it", of=f"{slug}@{name}", warning=_GUARDED,
            back=_alias_page(model, name), run=lambda: _set(form, name, actor(request)),
        )  # fmt: skip

    def unguard(self, request: HttpRequest, slug: str, name: str) -> HttpResponse:
        model = _model_to_guard(request, slug)
        if guard_of(model, name) is None:
            raise Http404
        form = UnguardForm(request.POST or None, row=model)
        return self._answer(
            request, form, name="Take the guard away", of=f"{slug}@{name}", warning="",
            back=_alias_page(model, name), run=lambda: _take_away(form, name, actor(request)),
        )  # fmt: skip

    def _answer(self, request: HttpRequest, form: ReasonForm, **said: Any) -> HttpResponse:
        return answer_verb(request, site=self.admin_site, opts=self.opts, form=form, **said)


def _model_to_guard(request: HttpRequest, slug: str) -> Model:
    by = actor(request)
    model = models_for(by).filter(slug=slug).first()
    if model is None:
        raise Http404
    if not by.may(Right.MANAGE_SETTINGS, model_id=model.pk):
        raise PermissionDenied
    return model


def _set(form: GuardForm, name: str, by: Actor) -> str:
    given = form.cleaned_data
    guard = guard_alias(
        model=form.row,
        name=name,
        people=given["people"],
        keys=given["keys"],
        reason=given["reason"],
        expected_revision=given["seen"],
        by=by,
    )
    return (
        f"{form.row}@{name} is moved by {', '.join(mover.name for mover in movers(guard))} and nobody else."
    )


def _take_away(form: UnguardForm, name: str, by: Actor) -> str:
    unguard_alias(model=form.row, name=name, reason=form.cleaned_data["reason"], by=by)
    return f"Whoever may move aliases of {form.row} may move @{name} too."


def _alias_page(model: Model, name: str) -> str:
    """The alias's page, or the Model's where there is no such alias yet."""
    alias = model.aliases.filter(name=name).first()
    return (
        reverse("admin:registry_alias_change", args=[alias.pk]) if alias is not None else _model_page(model)
    )


def _model_page(model: Model) -> str:
    return reverse("admin:registry_model_change", args=[model.pk])


register_panel(name="guards", place=Place.MODEL, render=draw_guards, order=40)
