from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from inference.errors import UnknownModel
from inference.jobs import services
from inference.jobs.forms import PREVIEW_BYTES, NewJobForm, PreviewForm, StoreForm
from inference.jobs.kinds import JOB_KINDS, rights_to_submit, subject_of
from inference.jobs.models import Job, Store
from inference.jobs.policies import may_change
from inference.jobs.presentation import (
    describe_cancel,
    describe_contract,
    describe_options,
    describe_retry,
    first_results,
    part_groups,
    summarize_job,
)
from inference.jobs.previews import preview_job
from inference.jobs.selectors import jobs_in_reach
from registry.access.policies import Right
from registry.catalogue.selectors import models_for
from registry.errors import RoundhouseError
from registry.kit.actors import Actor
from registry.kit.admin.columns import moment_column
from registry.kit.admin.forms import redirect_from_form
from registry.kit.admin.history import HistoryPage
from registry.kit.admin.pages import OwnPage, exact_filter
from registry.kit.admin.theme import DropdownFilter, ModelAdmin, actor, display
from registry.kit.admin.verbs import ReasonForm, answer_verb

_MAX_WATCHED = 200
_MAX_MODEL_CHOICES = 500


class KindFilter(DropdownFilter):
    """Appears if there is a choice."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        kinds = [(name, kind.title) for name, kind in JOB_KINDS.items()]
        return kinds if len(kinds) > 1 else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


@dataclass(frozen=True, slots=True)
class JobAction:
    """A button on a job's page, with a preview of its effect and the call behind it."""

    title: str
    audit_action: str
    describe: Callable[[Job], str]
    run: Callable[[Job, str, Actor], str]


def _cancel(job: Job, reason: str, by: Actor) -> str:
    services.cancel(job=job, reason=reason, by=by)
    return "Job cancelled. Finished results can still be downloaded."


def _retry(job: Job, reason: str, by: Actor) -> str:
    services.retry(job=job, reason=reason, by=by)
    return "The failed parts are queued again."


_ACTIONS = {
    "cancel": JobAction("Cancel", "cancel_job", describe_cancel, _cancel),
    "retry": JobAction("Retry failed parts", "retry_job", describe_retry, _retry),
}


@admin.register(Job)
class JobPage(OwnPage, ModelAdmin[Job]):
    """Jobs and their progress. Staff can start one with a form; everything else is read-only."""

    empty_text = (
        "No jobs yet. A job runs a Model on many rows in the background: start one here with a file or a few rows, or send"
        " it to POST /api/v1/jobs."
    )
    own_template = "admin/inference/job.html"
    list_display = ["name", "subject", "state", "progress", "made_by", moment_column("created_at", "created")]
    list_display_links = ["name"]
    list_filter = [
        "status",
        KindFilter,
        exact_filter("model__slug", "Model"),
        exact_filter("made_by", "created by"),
    ]
    list_filter_submit = True
    list_before_template = "admin/inference/job_list_head.html"
    search_fields = ["id", "kind", "model__slug", "made_by"]
    search_help_text = "ID or start of an ID, kind, Model, or creator."
    ordering = ["-created_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        return jobs_in_reach(actor(request))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return not actor(request).rights.isdisjoint(rights_to_submit())

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        pages = [
            path("progress/", view(self.list_progress), name="inference_job_bars"),
            path("preview/", view(self.preview), name="inference_job_preview"),
            path("<str:pk>/progress/", view(self.job_progress), name="inference_job_progress"),
            *(
                path(
                    f"<str:pk>/{name}/", view(partial(self.act, action=action)), name=f"inference_job_{name}"
                )
                for name, action in _ACTIONS.items()
            ),
        ]
        return [*pages, *super().get_urls()]

    # --- the list

    @display(description="job", ordering="created_at")
    def name(self, job: Job) -> str:
        return str(job.pk)[:8]

    @display(description="version", ordering="version")
    def subject(self, job: Job) -> str:
        return subject_of(job)

    @display(description="state", ordering="status")
    def state(self, job: Job) -> str:
        return format_html('<span data-state-of="{}">{}</span>', job.pk, summarize_job(job).state)

    @display(description="progress")
    def progress(self, job: Job) -> str:
        return render_to_string(
            "admin/inference/job_bar.html", {"shown": summarize_job(job), "is_watched": True}
        )

    def list_progress(self, request: HttpRequest) -> HttpResponse:
        """Progress bars and states of the listed jobs, polled by the list's script."""
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        ids = [pk for text in request.GET.getlist("id")[:_MAX_WATCHED] if (pk := _uuid(text)) is not None]
        jobs = {}
        for job in self.get_queryset(request).filter(pk__in=ids):
            summary = summarize_job(job)
            jobs[str(job.pk)] = {
                "is_open": summary.is_open,
                "bar": render_to_string("admin/inference/job_bar_inside.html", {"shown": summary}),
                "state": summary.state,
            }
        return _uncached_json({"jobs": jobs})

    # --- one job

    def shown(self, request: HttpRequest, job: Job) -> dict[str, Any]:
        return {
            "title": f"Job {str(job.pk)[:8]}",
            "job": job,
            "subject": subject_of(job),
            "options": describe_options(job),
            "shown": summarize_job(job),
            "groups": part_groups(job),
            "sources": describe_contract(job),
            "preview": first_results(job),
            "may_change": may_change(job, actor(request)),
            "api": f"/api/v1/jobs/{job.pk}",
        }

    def job_progress(self, request: HttpRequest, pk: str) -> HttpResponse:
        """The parts of a job's page that change while it runs, polled by the page's script."""
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        job = self.get_job(request, pk)
        summary = summarize_job(job)
        context = {"job": job, "shown": summary, "groups": part_groups(job)}
        return _uncached_json({
            "is_open": summary.is_open,
            "progress": render_to_string("admin/inference/job_progress.html", context),
            "parts": render_to_string("admin/inference/job_parts.html", context),
        })  # fmt: skip

    def act(self, request: HttpRequest, pk: str, action: JobAction) -> HttpResponse:
        job = self.get_job(request, pk)
        by = actor(request)
        if not may_change(job, by):
            raise PermissionDenied
        form = ReasonForm(request.POST or None, row=job)
        form.suggest_reasons(by, action.audit_action)
        return answer_verb(
            request,
            site=self.admin_site,
            opts=self.opts,
            name=action.title,
            of=f"job {str(job.pk)[:8]} of {subject_of(job)}",
            warning=action.describe(job),
            form=form,
            run=lambda: action.run(job, form.cleaned_data["reason"], by),
            back=reverse("admin:inference_job_change", args=[job.pk]),
        )

    def get_job(self, request: HttpRequest, pk: str) -> Job:
        job_id = _uuid(pk)
        job = self.get_queryset(request).filter(pk=job_id).first() if job_id is not None else None
        if job is None:
            raise Http404
        return job

    # --- new job

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        by = actor(request)
        form = NewJobForm(
            request.POST or None,
            request.FILES or None,
            by=by,
            initial={"model": request.GET.get("model", "")},
        )
        if request.method == "POST" and form.is_valid():
            try:
                job = form.save(by)
                messages.success(request, f"Job {str(job.pk)[:8]} started: {subject_of(job)}.")
                return redirect_from_form(request, reverse("admin:inference_job_change", args=[job.pk]))
            except RoundhouseError as error:
                form.add_error("model" if isinstance(error, UnknownModel) else None, str(error))
        return TemplateResponse(
            request,
            "admin/inference/job_add.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": "New job",
                "form": form,
                "preview_bytes": PREVIEW_BYTES,
                "models": models_for(by).order_by("slug").values_list("slug", "title")[:_MAX_MODEL_CHOICES],
            },
        )

    def preview(self, request: HttpRequest) -> HttpResponse:
        """The first rows of the file whose first bytes are sent, as HTML; nothing is stored."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_add_permission(request):
            raise PermissionDenied
        by = actor(request)
        shown = preview_job(PreviewForm(request.POST, request.FILES, by=by), by)
        response = TemplateResponse(request, "admin/inference/job_preview.html", {"shown": shown})
        response["Cache-Control"] = "no-store"
        return response


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _uncached_json(data: dict[str, Any]) -> JsonResponse:
    return JsonResponse(data, headers={"Cache-Control": "no-store"})


@admin.register(Store)
class StorePage(HistoryPage, ModelAdmin[Store]):
    empty_text = "No job storage yet. Add a folder or a bucket that jobs may read from or write to."
    form = StoreForm
    fields = ["name", "kind", "root", "prefix", "may_read", "may_write", "for_people", "tenants"]
    list_display = ["name", "kind", "root", "prefix", "may", "for_people"]
    search_fields = ["name"]
    autocomplete_fields = ["tenants"]

    @display(description="jobs may")
    def may(self, store: Store) -> str:
        verbs = [
            verb for verb, is_allowed in (("read", store.may_read), ("write", store.may_write)) if is_allowed
        ]
        return " and ".join(verbs) or "do nothing"

    def get_readonly_fields(self, request: HttpRequest, obj: Store | None = None) -> list[str]:
        return ["name"] if obj else []

    def has_module_permission(self, request: HttpRequest) -> bool:
        return actor(request).may(Right.MANAGE_SETTINGS)

    def has_view_permission(self, request: HttpRequest, obj: Store | None = None) -> bool:
        return actor(request).may(Right.MANAGE_SETTINGS)

    has_change_permission = has_delete_permission = has_view_permission

    def has_add_permission(self, request: HttpRequest) -> bool:
        return actor(request).may(Right.MANAGE_SETTINGS)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Leave out the links between store and tenants, which are deleted with the store."""
        return [str(store) for store in objs], {"stores": len(objs)}, set(), []

    def save_model(self, request: HttpRequest, obj: Store, form: Any, change: bool) -> None:
        if change:
            services.change_store(store=obj, settings=form.settings, by=actor(request))
            return
        name = form.cleaned_data["name"]
        obj.pk = services.add_store(name=name, settings=form.settings, by=actor(request)).pk

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """The service has already saved the tenants."""

    def delete_model(self, request: HttpRequest, obj: Store) -> None:
        services.remove_store(store=obj, by=actor(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Store]) -> None:
        for store in queryset:
            services.remove_store(store=store, by=actor(request))
