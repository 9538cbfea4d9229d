"""Verbs on admin pages: each has a page with a form, including a reason, and calls one service."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from registry.errors import RoundhouseError
from registry.kit.actors import Actor, require_right
from registry.kit.admin.pages import ScopedPage
from registry.kit.admin.theme import TextInput, actor
from registry.kit.registrations import Registrations
from registry.kit.text import MAX_REASON

# Each takes the actor and a verb's name, and returns reasons that the actor gave for it before, the last one first.
PAST_REASONS: Registrations[Callable[[Actor, str], Sequence[str]]] = Registrations("source of past reasons")


class ReasonForm(forms.Form):
    """A form with a reason. `preview` describes in sentences, with numbers, what the verb will do."""

    fields_template = "admin/registry/verb_fields.html"
    is_destructive = False
    # The name of the field that has the focus first; by default the first empty field that is required.
    focus = ""
    past_reasons: Sequence[str] = ()

    reason = forms.CharField(max_length=MAX_REASON, widget=TextInput(), help_text="Kept with the change.")

    def __init__(self, *args: Any, row: Any, **kwargs: Any) -> None:
        self.row = row
        super().__init__(*args, **kwargs)

    @property
    def preview(self) -> list[str]:
        return []

    def suggest_reasons(self, by: Actor, verb: str) -> None:
        """Offer the reasons that the actor gave for this verb before."""
        self.past_reasons = [reason for source in PAST_REASONS for reason in source(by, verb)]
        if self.past_reasons:
            self.fields["reason"].widget.attrs["list"] = f"{self['reason'].auto_id}_past"


class VerbGroup(StrEnum):
    """Where a page shows a verb's button. The value is the group's title."""

    RELEASE = "Release"
    EMERGENCY = "Emergency"
    MORE = "More"  # in a menu


@dataclass(frozen=True, slots=True)
class Verb:
    """`fits` returns whether the row's state allows the verb; the service checks again.

    If `why_not` returns text, the verb's page shows that instead of the form.
    """

    name: str
    title: str
    right: str
    form: type[ReasonForm]
    run: Callable[[Any, Any, Actor], str]  # row, valid form, actor -> the success message
    fits: Callable[[Any], bool]
    warning: str = ""
    why_not: Callable[[Any], str] = lambda _row: ""
    group: VerbGroup = VerbGroup.MORE


@dataclass(frozen=True, slots=True)
class VerbButton:
    title: str
    address: str
    group: VerbGroup


class VerbPages(ScopedPage):
    """Adds a page for each verb below the row's page, and a button on the row's page for each verb that fits."""

    verbs: ClassVar[Sequence[Verb]] = ()
    opts: Any
    admin_site: admin.AdminSite

    def get_urls(self) -> list[URLPattern]:
        prefix = f"{self.opts.app_label}_{self.opts.model_name}"
        pages = [
            path(
                f"<int:pk>/{verb.name}/",
                self.admin_site.admin_view(partial(self.act, verb=verb)),
                name=f"{prefix}_{verb.name.replace('-', '_')}",
            )
            for verb in self.verbs
        ]
        return [*pages, *super().get_urls()]  # type: ignore[misc]

    def act(self, request: HttpRequest, pk: int, verb: Verb) -> HttpResponse:
        row = self.get_queryset(request).filter(pk=pk).first()
        if row is None:
            raise Http404
        require_right(actor(request), verb.right, model_id=self.model_id_of(row))
        page = partial(
            answer_verb, request, site=self.admin_site, opts=self.opts, name=verb.title, of=str(row)
        )
        if why_not := verb.why_not(row):
            return page(back=self.address_of(row), why_not=why_not)
        form = verb.form(request.POST or None, row=row)
        form.suggest_reasons(actor(request), verb.name)
        return page(
            back=self.address_of(row),
            warning=verb.warning,
            form=form,
            run=lambda: verb.run(row, form, actor(request)),
        )

    def buttons(self, request: HttpRequest, row: Any) -> list[tuple[str, str]]:
        """(title, address) of the verbs that the row's state and the actor's rights allow."""
        return [(button.title, button.address) for button in self.verb_buttons(request, row)]

    def verb_buttons(self, request: HttpRequest, row: Any) -> list[VerbButton]:
        """The buttons of the verbs that the row's state and the actor's rights allow, with their groups."""
        by, model_id = actor(request), self.model_id_of(row)
        return [
            VerbButton(verb.title, f"{self.address_of(row).removesuffix('change/')}{verb.name}/", verb.group)
            for verb in self.verbs
            if by.may(verb.right, model_id=model_id) and verb.fits(row)
        ]

    def address_of(self, row: Any) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[row.pk])

    @staticmethod
    def model_id_of(row: Any) -> int:
        model_id: int = getattr(row, "model_id", row.pk)  # a Model, or a row that belongs to one
        return model_id


def answer_verb(
    request: HttpRequest,
    *,
    site: admin.AdminSite,
    opts: Any,
    name: str,
    of: str,
    back: str,
    warning: str = "",
    form: forms.Form | None = None,
    run: Callable[[], str] = lambda: "",
    why_not: str = "",
) -> HttpResponse:
    """Show the verb's form, or run the verb if the form is valid; `run` returns the success message.

    If the service refuses, the form shows the error.
    """
    if form is not None and request.method == "POST" and form.is_valid():
        try:
            messages.success(request, run())
            return redirect(back)
        except RoundhouseError as error:
            form.add_error(None, str(error))
    context = {
        **site.each_context(request),
        "opts": opts,
        "title": f"{name}: {of}",
        "verb": {"title": name, "warning": warning},
        "form": form,
        "back": back,
        "why_not": why_not,
    }
    return TemplateResponse(request, "admin/registry/verb.html", context)
