"""Aliases: their pages, and the verbs that move, retire and guard them."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from registry.access.models import ApiKey
from registry.access.policies import Right
from registry.catalogue.models import CHAMPION, Alias, AliasGuard, AliasMove, Model, Version
from registry.catalogue.policies import guard_allows, movers
from registry.catalogue.selectors import (
    guard_of,
    guards_by_name,
    keys_that_may_move,
    models_for,
    people_who_may_move,
)
from registry.catalogue.services import guard_alias, move_alias, retire_alias, unguard_alias
from registry.catalogue.transitions import Status
from registry.kit.actors import Actor, require_right
from registry.kit.admin.columns import Tone, badge
from registry.kit.admin.pages import CardPage, exact_filter
from registry.kit.admin.theme import ModelAdmin, TabularInline, TextInput, actor, display
from registry.kit.admin.verbs import ReasonForm, Verb, VerbPages, answer_verb

_VERSIONS_OFFERED = 20
_GUARD_WARNING = (
    "Only the people and keys that you choose can then move or retire it. Everyone else is refused, including superusers. "
    "Commands run on the machine itself still work."
)


class MoveForm(ReasonForm):
    field_order = ["version", "reason"]

    version = forms.ModelChoiceField(
        queryset=Version.objects.none(),
        label="Version",
        empty_label=None,
        widget=forms.Select(attrs={"class": "rh-input"}),
        help_text=f"The {_VERSIONS_OFFERED} newest ready versions.",
    )
    seen = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, row: Alias, **kwargs: Any) -> None:
        super().__init__(*args, row=row, initial={"seen": row.revision}, **kwargs)
        ready = Version.objects.filter(model=row.model, status=Status.READY).exclude(aliases=row)
        newest = list(ready.order_by("-number").values_list("pk", flat=True)[:_VERSIONS_OFFERED])
        self.offered = Version.objects.select_related("model").filter(pk__in=newest).order_by("-number")
        self.fields["version"].queryset = self.offered  # type: ignore[attr-defined]

    @property
    def preview(self) -> list[str]:
        if not self.offered:
            return [_target_text(self.row), f"No other version of {self.row.model.slug} is ready."]
        return [
            _target_text(self.row),
            f"Within 2 seconds, requests to {self.row} go to the version you choose.",
        ]


class RetireForm(ReasonForm):
    is_destructive = True
    seen = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, row: Alias, **kwargs: Any) -> None:
        super().__init__(*args, row=row, initial={"seen": row.revision}, **kwargs)

    @property
    def preview(self) -> list[str]:
        return [
            _target_text(self.row),
            f"Requests to {self.row} will get 404, as if the alias did not exist.",
        ]


class KeysField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]  # not generic at run time
    def label_from_instance(self, key: Any) -> str:
        return f"{key}, tenant {key.tenant.slug}"


class GuardForm(ReasonForm):
    """Chooses who may move an alias, from those whose role or scope allows it."""

    fields_template = "admin/registry/guard_fields.html"
    field_order = ["name", "people", "keys", "reason"]

    people = forms.ModelMultipleChoiceField(
        queryset=User.objects.none(), required=False, widget=forms.CheckboxSelectMultiple
    )
    keys = KeysField(
        queryset=ApiKey.objects.none(), required=False, widget=forms.CheckboxSelectMultiple, label="API keys"
    )
    seen = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, row: Model, guard: AliasGuard | None = None, **kwargs: Any) -> None:
        initial: dict[str, Any] = {"seen": 0}
        if guard is not None:
            initial = {"seen": guard.revision, "people": guard.people.all(), "keys": guard.keys.all()}
        super().__init__(*args, row=row, initial=initial, **kwargs)
        self.guard = guard
        for name, able in {"people": people_who_may_move(row), "keys": keys_that_may_move(row)}.items():
            self.fields[name].queryset = able  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if not data.get("people") and not data.get("keys"):
            self.add_error("people", "Choose at least one person or key.")
        return data

    @property
    def preview(self) -> list[str]:
        """Who can move it now."""
        if self.guard is None:
            return [f"{_count_movers(self.row)} can move it now."]
        all_movers = movers(self.guard)
        able, unable = ([mover.name for mover in all_movers if mover.may is may] for may in (True, False))
        preview = [f"These can move it now: {', '.join(able) or 'no one'}."]
        if unable:
            preview.append(
                f"No longer allowed to move aliases here, and left out of this form: {', '.join(unable)}."
            )
        return preview


class NewGuardForm(GuardForm):
    """The same, with a field for the alias's name."""

    name = forms.CharField(
        label="Alias",
        max_length=64,
        widget=TextInput(),
        help_text="Its name without @. The alias does not have to exist yet.",
    )

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if guard_of(self.row, name) is not None:
            raise forms.ValidationError(f"@{name} already has a guard. Edit that one instead.")
        return name


class UnguardForm(ReasonForm):
    @property
    def preview(self) -> list[str]:
        return [f"Without the guard, {_count_movers(self.row)} can move it."]


def _target_text(alias: Alias) -> str:
    return (
        f"It points to version {alias.version.number} now."
        if alias.version
        else "It points to no version now."
    )


def _count_movers(model: Model) -> str:
    people, keys = people_who_may_move(model).count(), keys_that_may_move(model).count()
    return f"{people} {'person' if people == 1 else 'people'} and {keys} {'key' if keys == 1 else 'keys'}"


def _move(alias: Alias, form: MoveForm, by: Actor) -> str:
    data = form.cleaned_data
    moved = move_alias(
        model=alias.model,
        name=alias.name,
        version=data["version"],
        reason=data["reason"],
        expected_revision=data["seen"],
        by=by,
    )
    return f"{moved} now points to version {data['version'].number}."


def _retire(alias: Alias, form: RetireForm, by: Actor) -> str:
    data = form.cleaned_data
    retire_alias(alias=alias, reason=data["reason"], expected_revision=data["seen"], by=by)
    return f"{alias} is retired: it no longer points to a version."


def _is_movable(alias: Alias) -> bool:
    return alias.name != CHAMPION


_VERBS = (
    Verb("move", "Move", Right.MOVE_ALIAS, MoveForm, _move, _is_movable),
    Verb("retire", "Retire", Right.MOVE_ALIAS, RetireForm, _retire,
         lambda alias: _is_movable(alias) and alias.version is not None),
)  # fmt: skip


def draw_guards(request: HttpRequest, model: Model) -> SafeString | str:
    """The guarded aliases of a Model; nothing if there are none and the reader cannot add one."""
    guards = guards_by_name(model)
    may_guard = actor(request).may(Right.MANAGE_SETTINGS, model_id=model.pk)
    if not guards and not may_guard:
        return ""
    lines = [(guard, movers(guard), _guard_buttons(model, guard.name, guard)) for guard in guards.values()]
    context = {"model": model, "lines": lines, "may_guard": may_guard}
    return render_to_string("admin/registry/guards.html", context, request)


def _guard_buttons(model: Model, name: str, guard: AliasGuard | None) -> list[tuple[str, str]]:
    """(title, address) of each action on the guard of a name."""
    edit, remove = (
        reverse(f"admin:registry_alias_{verb}", args=[model.slug, name]) for verb in ("guard", "unguard")
    )
    if guard is None:
        return [("Add guard", edit)]
    return [("Edit guard", edit), ("Remove guard", remove)]


class MoveInline(TabularInline[AliasMove, Alias]):
    model = AliasMove
    fields = readonly_fields = ("version", "from_at", "to_at", "moved_by", "reason")
    extra = 0

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("version__model", "alias__model")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True  # the same as for the alias

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Alias)
class AliasPage(VerbPages, CardPage, ModelAdmin[Alias]):
    empty_text = (
        "An alias is a name that callers can use for a version. A Model's first split creates champion."
    )
    verbs = _VERBS
    list_display = ["__str__", "points_to", "moved_by"]
    list_select_related = ["model", "version"]
    list_filter = [exact_filter("model__slug", "Model"), exact_filter("name", "name")]
    list_filter_submit = True
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
        return f"v{alias.version.number}" if alias.version is not None else badge("retired", Tone.IDLE)

    @display(description="moved by")
    def moved_by(self, alias: Alias) -> str:
        if alias.name == CHAMPION:
            return "the split"
        return "those named in its guard" if alias.has_guard else "anyone who may move aliases"  # type: ignore[attr-defined]

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
        """Guards are addressed by name, because a guard may exist before its alias."""
        pages: list[tuple[str, Callable[..., HttpResponse], str]] = [
            ("guards/<str:slug>/", self.guard_another, "registry_alias_guard_another"),
            ("guards/<str:slug>/<str:name>/", self.guard, "registry_alias_guard"),
            ("guards/<str:slug>/<str:name>/take-away/", self.unguard, "registry_alias_unguard"),
        ]
        return [
            *(path(route, self.admin_site.admin_view(view), name=name) for route, view, name in pages),
            *super().get_urls(),
        ]

    def guard_another(self, request: HttpRequest, slug: str) -> HttpResponse:
        model = _model_to_guard(request, slug)
        form = NewGuardForm(request.POST or None, row=model)
        return self._answer(
            request, form, name="Add guard", of=slug, warning=_GUARD_WARNING, back=_model_page(model),
            run=lambda: _guard(form, form.cleaned_data["name"], actor(request)),
        )  # fmt: skip

    def guard(self, request: HttpRequest, slug: str, name: str) -> HttpResponse:
        model = _model_to_guard(request, slug)
        guard = guard_of(model, name)
        form = GuardForm(request.POST or None, row=model, guard=guard)
        return self._answer(
            request, form, name="Edit guard" if guard is not None else "Add guard", of=f"{slug}@{name}",
            warning=_GUARD_WARNING, back=_alias_page(model, name), run=lambda: _guard(form, name, actor(request)),
        )  # fmt: skip

    def unguard(self, request: HttpRequest, slug: str, name: str) -> HttpResponse:
        model = _model_to_guard(request, slug)
        if guard_of(model, name) is None:
            raise Http404
        form = UnguardForm(request.POST or None, row=model)
        return self._answer(
            request, form, name="Remove guard", of=f"{slug}@{name}", warning="",
            back=_alias_page(model, name), run=lambda: _unguard(form, name, actor(request)),
        )  # fmt: skip

    def _answer(self, request: HttpRequest, form: ReasonForm, **texts: Any) -> HttpResponse:
        form.suggest_reasons(
            actor(request), "unguard_alias" if isinstance(form, UnguardForm) else "guard_alias"
        )
        return answer_verb(request, site=self.admin_site, opts=self.opts, form=form, **texts)


def _model_to_guard(request: HttpRequest, slug: str) -> Model:
    by = actor(request)
    model = models_for(by).filter(slug=slug).first()
    if model is None:
        raise Http404
    require_right(by, Right.MANAGE_SETTINGS, model_id=model.pk)
    return model


def _guard(form: GuardForm, name: str, by: Actor) -> str:
    data = form.cleaned_data
    guard = guard_alias(
        model=form.row,
        name=name,
        people=data["people"],
        keys=data["keys"],
        reason=data["reason"],
        expected_revision=data["seen"],
        by=by,
    )
    return f"Only {', '.join(mover.name for mover in movers(guard))} can now move {form.row}@{name}."


def _unguard(form: UnguardForm, name: str, by: Actor) -> str:
    unguard_alias(model=form.row, name=name, reason=form.cleaned_data["reason"], by=by)
    return f"Anyone who may move aliases of {form.row} can now move @{name}."


def _alias_page(model: Model, name: str) -> str:
    """The alias's page, or the Model's if there is no such alias yet."""
    alias = model.aliases.filter(name=name).first()
    return (
        reverse("admin:registry_alias_change", args=[alias.pk]) if alias is not None else _model_page(model)
    )


def _model_page(model: Model) -> str:
    return f"{reverse('admin:registry_model_change', args=[model.pk])}?tab=access"
