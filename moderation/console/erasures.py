"""Pages of erasures: what was erased and how far it is, and a new one with a preview."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString

from moderation.deciding.contents import MAX_ID
from moderation.privacy.erasing import ErasurePreview, named_cases, preview_erasure, request_erasure
from moderation.privacy.models import Erasure, ErasureKind
from moderation.privacy.sentences import counted
from moderation.privacy.transitions import ErasureStatus
from moderation.rights import ModerationRight
from registry.access.models import Tenant
from registry.errors import RoundhouseError
from registry.kit.admin.columns import Tone, badge, moment_column
from registry.kit.admin.pages import OwnPage
from registry.kit.admin.theme import ModelAdmin, TextInput, actor, display
from registry.kit.text import MAX_REASON

_SELECT = {"class": "rh-input"}
_TONES = {ErasureStatus.WORKING: Tone.BUSY, ErasureStatus.DONE: Tone.GOOD}


class NewErasureForm(forms.Form):
    """First it finds what there is; with the id typed again, it erases that."""

    kind = forms.ChoiceField(
        label="Erase by", choices=ErasureKind.choices, widget=forms.Select(attrs=_SELECT)
    )
    subject = forms.CharField(
        label="Id", max_length=MAX_ID, strip=False, widget=TextInput(), help_text="Exactly as it was sent."
    )
    tenant = forms.ModelChoiceField(
        Tenant.objects.order_by("slug"),
        required=False,
        widget=forms.Select(attrs=_SELECT),
        empty_label="No tenant",
        help_text="Ids are only unique within a tenant.",
    )
    reason = forms.CharField(
        max_length=MAX_REASON,
        widget=TextInput(),
        help_text="Kept in the audit log, which cannot be erased: leave the id and all names out.",
    )
    again = forms.CharField(
        label="Type the id again", required=False, max_length=MAX_ID, strip=False, widget=TextInput(),
        help_text="What is erased cannot be brought back.",
    )  # fmt: skip

    @property
    def is_confirmed(self) -> bool:
        return bool(self.cleaned_data["again"]) and self.cleaned_data["again"] == self.cleaned_data["subject"]

    @property
    def values(self) -> dict[str, Any]:
        values = self.cleaned_data
        return {
            "kind": ErasureKind(values["kind"]), "subject": values["subject"], "tenant": values["tenant"],
        }  # fmt: skip


@admin.register(Erasure)
class ErasurePage(OwnPage, ModelAdmin[Erasure]):
    empty_text = "When an author asks for it, or a law does, everything that is stored about a content can be erased for good."
    right = ModerationRight.ERASE
    own_template = "admin/moderation/erasure.html"
    list_display = [
        moment_column("made_at", "requested"), "number", "kind", "tenant_shown", "state", "removed_shown", "kept_shown",
        "made_by", "reason",
    ]  # fmt: skip
    list_select_related = ["tenant"]
    list_filter = ["status", "kind"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Erasure]:
        rows = Erasure.objects.select_related("tenant")
        return rows if self.has_right(request) else rows.none()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_right(request)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Sent by POST alone, so that the id is in no address, history or log."""
        if not self.has_right(request):
            raise PermissionDenied
        form, preview = NewErasureForm(request.POST or None), None
        if request.method == "POST" and form.is_valid():
            try:
                if form.is_confirmed:
                    return self._erase(request, form)
                preview = preview_erasure(**form.values, by=actor(request))
            except RoundhouseError as error:
                form.add_error(None, str(error))
            if form.cleaned_data["again"] and not form.is_confirmed:
                form.add_error("again", "This is another id than the one above.")
        return self._form_page(request, form, preview)

    def _erase(self, request: HttpRequest, form: NewErasureForm) -> HttpResponse:
        erasure = request_erasure(**form.values, reason=form.cleaned_data["reason"], by=actor(request))
        messages.success(request, "A worker erases it now. This page says how far it is.")
        return redirect(reverse("admin:moderation_erasure_change", args=[erasure.pk]))

    def _form_page(
        self, request: HttpRequest, form: NewErasureForm, preview: ErasurePreview | None
    ) -> HttpResponse:
        fields = [form[name] for name in ("kind", "subject", "tenant", "reason")]
        asks_again = preview is not None and not preview.is_empty
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "New erasure",
            "form": form,
            "fields": [*fields, form["again"]] if asks_again else fields,
            "preview": preview,
            "kept_in": named_cases(preview.kept_cases) if preview is not None else "",
            "asks_again": asks_again,
            "back": reverse("admin:moderation_erasure_changelist"),
        }
        return TemplateResponse(request, "admin/moderation/new_erasure.html", context)

    def shown(self, request: HttpRequest, row: Erasure) -> dict[str, Any]:
        return {
            "title": str(row).capitalize(),
            "erasure": row,
            "tone": _TONES[ErasureStatus(row.status)],
            "removed": counted(row.removed),
            "kept_in": named_cases(row.kept_cases),
        }

    @display(description="erasure", ordering="pk")
    def number(self, erasure: Erasure) -> str:
        return str(erasure.pk)

    @display(description="tenant", ordering="tenant")
    def tenant_shown(self, erasure: Erasure) -> str:
        return str(erasure.tenant) if erasure.tenant is not None else "–"

    @display(description="state", ordering="status")
    def state(self, erasure: Erasure) -> SafeString:
        return badge(erasure.status, _TONES[ErasureStatus(erasure.status)])

    @display(description="erased")
    def removed_shown(self, erasure: Erasure) -> str:
        return counted(erasure.removed) or "–"

    @display(description="kept on legal hold", ordering="kept_count")
    def kept_shown(self, erasure: Erasure) -> str:
        return str(erasure.kept_count) if erasure.kept_count else "–"
