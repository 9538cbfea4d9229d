"""The page that asks why somebody needs a package of evidence, and then sends it."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods

from moderation.cases.models import Case
from moderation.privacy.evidence_package import make_evidence_package
from moderation.rights import ModerationRight
from registry.errors import RoundhouseError
from registry.kit.actors import require_right
from registry.kit.admin.theme import TextInput, actor
from registry.kit.text import MAX_REASON

_NO_MODEL = 0  # cases belong to no Model


class EvidenceForm(forms.Form):
    reason = forms.CharField(
        max_length=MAX_REASON,
        widget=TextInput(),
        help_text="Kept in the audit log and in the package, such as the number of the authority’s request.",
    )


@require_http_methods(["GET", "HEAD", "POST"])
def evidence_page(request: HttpRequest, *, pk: int) -> HttpResponseBase:
    """A form with a reason; sent, it answers with the package, and the audit log says who took it."""
    by = actor(request)
    for right in (ModerationRight.SEE_RESTRICTED, ModerationRight.LEAD):
        require_right(by, right, model_id=_NO_MODEL)
    case = Case.objects.filter(pk=pk, is_restricted=True).first()
    if case is None:
        raise Http404("There is no such restricted case.")
    form = EvidenceForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            package = make_evidence_package(case=case, reason=form.cleaned_data["reason"], by=by)
        except RoundhouseError as error:
            form.add_error(None, str(error))
        else:
            headers = {"Cache-Control": "private, no-store"}
            return FileResponse(
                package, as_attachment=True, filename=f"evidence-case-{case.pk}.zip",
                content_type="application/zip", headers=headers,
            )  # fmt: skip
    return _form_page(request, case, form)


def _form_page(request: HttpRequest, case: Case, form: EvidenceForm) -> HttpResponse:
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": f"Evidence package of {case}",
        "case": case,
        "form": form,
        "back": reverse("admin:moderation_case_change", args=[case.pk]),
    }
    return TemplateResponse(request, "admin/moderation/evidence_package.html", context)


urlpatterns = [
    path(
        "moderation/case/<int:pk>/evidence/",
        admin.site.admin_view(evidence_page),
        name="moderation_case_evidence",
    )
]
