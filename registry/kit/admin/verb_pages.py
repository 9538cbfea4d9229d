"""The pages of verbs: a form, what it will do, and back to the row when it is done."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from registry.errors import RoundhouseError
from registry.kit.admin.pages import ScopedPage
from registry.kit.admin.theme import actor
from registry.kit.admin.verbs import Verb


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
    verb = {"title": name, "warning": warning}
    return _show_verb(request, site=site, opts=opts, of=of, back=back, verb=verb, form=form)


def _show_verb(
    request: HttpRequest, *, site: admin.AdminSite, opts: Any, of: str, verb: dict[str, str], **more: Any
) -> HttpResponse:
    context = {**site.each_context(request), "opts": opts, "title": f"{verb['title']}: {of}", "verb": verb}
    return TemplateResponse(request, "admin/registry/verb.html", {**context, **more})


class VerbPages(ScopedPage):
    """Gives each verb a page of its own below the row's, and the row's page a button for what fits."""

    verbs: ClassVar[Sequence[Verb]] = ()
    opts: Any
    admin_site: admin.AdminSite

    def get_urls(self) -> list[URLPattern]:
        pages = [
            path(
                f"<int:pk>/{verb.name}/",
                self.admin_site.admin_view(partial(self.act, verb=verb)),
                name=f"registry_{self.opts.model_name}_{verb.name.replace('-', '_')}",
            )
            for verb in self.verbs
        ]
        return [*pages, *super().get_urls()]  # type: ignore[misc]

    def act(self, request: HttpRequest, pk: int, verb: Verb) -> HttpResponse:
        row = self.get_queryset(request).filter(pk=pk).first()
        if row is None:
            raise Http404
        if not actor(request).may(verb.right, model_id=self.model_id_of(row)):
            raise PermissionDenied
        if why_not := verb.why_not(row):
            return _show_verb(
                request, site=self.admin_site, opts=self.opts, of=str(row), back=self.address_of(row),
                verb={"title": verb.title}, why_not=why_not,
            )  # fmt: skip
        form = verb.form(request.POST or None, row=row)
        return answer_verb(
            request,
            site=self.admin_site,
            opts=self.opts,
            name=verb.title,
            of=str(row),
            warning=verb.warning,
            form=form,
            run=lambda: verb.run(row, form, actor(request)),
            back=self.address_of(row),
        )

    def buttons(self, request: HttpRequest, row: Any) -> list[tuple[str, str]]:
        """(title, address) of the verbs that the row's state and the caller's rights allow."""
        by, model_id = actor(request), self.model_id_of(row)
        return [
            (verb.title, f"{self.address_of(row).removesuffix('change/')}{verb.name}/")
            for verb in self.verbs
            if verb.fits(row) and by.may(verb.right, model_id=model_id)
        ]

    def address_of(self, row: Any) -> str:
        return reverse(f"admin:registry_{self.opts.model_name}_change", args=[row.pk])

    @staticmethod
    def model_id_of(row: Any) -> int:
        model_id: int = getattr(row, "model_id", row.pk)  # a Model, or a row of one
        return model_id
