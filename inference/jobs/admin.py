from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from inference.jobs import services
from inference.jobs.forms import NewJobForm
from inference.jobs.models import Job
from inference.jobs.policies import may_change
from inference.jobs.preview import first_results
from inference.jobs.selectors import jobs_in_reach
from inference.jobs.shown import (
    columns_of,
    part_groups,
    shown_job,
    what_cancelling_does,
    what_retrying_does,
)
from registry.access.policies import Right
from registry.catalogue.selectors import models_for
from registry.errors import RoundhouseError
from registry.kit.actors import Actor
from registry.kit.admin.pages import OwnPage
from registry.kit.admin.theme import ModelAdmin, TextFilter, actor, display
from registry.kit.admin.verbs import ReasonForm, answer_verb

_WATCHED_AT_ONCE = 200
_OFFERED_MODELS = 500


def _exactly(field: str, said: str) -> type[TextFilter]:
    class Exactly(TextFilter):
        title = said
        parameter_name = field

        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
            return queryset.filter(**{field: self.value()}) if self.value() else queryset

    return Exactly


@dataclass(frozen=True, slots=True)
class Verb:
    """What can be done from a job's page, and what it would do, in numbers."""

    title: str
    says: Callable[[Job], str]
    run: Callable[[Job, str, Actor], str]


def _cancel(job: Job, reason: str, by: Actor) -> str:
    services.cancel(job=job, reason=reason, by=by)
    return "The job is cancelled. What was done can still be taken."


def _retry(job: Job, reason: str, by: Actor) -> str:
    services.retry(job=job, reason=reason, by=by)
    return "Workers take its failed parts up again."


_VERBS = {
    "cancel": Verb("Cancel", what_cancelling_does, _cancel),
    "retry": Verb("Retry failed parts", what_retrying_does, _retry),
}


@admin.register(Job)
class JobPage(OwnPage, ModelAdmin[Job]):
    """Jobs and how far they are. Adding is a form that orders one; everything else is written by machines."""

    empty_text = (
        "No job yet. A job answers many rows without anybody waiting: add one for a file or a few rows, or send"
        " it to POST /api/v1/jobs."
    )
    own_template = "admin/inference/job.html"
    list_display = ["name", "version", "state", "progress", "made_by", "created_at"]
    list_display_links = ["name"]
    list_filter = ["status", _exactly("model__slug", "Model"), _exactly("made_by", "who")]
    list_filter_submit = True
    list_before_template = "admin/inference/job_list_head.html"
    search_fields = ["id", "model__slug", "made_by"]
    search_help_text = "An id or its beginning, a Model, or who made it."
    ordering = ["-created_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        return jobs_in_reach(actor(request))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return Right.PREDICT in actor(request).rights

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        pages = [
            path("progress/", view(self.tell_bars), name="inference_job_bars"),
            path("<str:pk>/progress/", view(self.tell_job), name="inference_job_progress"),
            *(
                path(f"<str:pk>/{name}/", view(partial(self.act, verb=verb)), name=f"inference_job_{name}")
                for name, verb in _VERBS.items()
            ),
        ]
        return [*pages, *super().get_urls()]

    # --- the list

    @display(description="job", ordering="created_at")
    def name(self, job: Job) -> str:
        return str(job.pk)[:8]

    @display(description="state", ordering="status")
    def state(self, job: Job) -> str:
        return render_to_string("admin/inference/job_state.html", {"job": job})

    @display(description="progress")
    def progress(self, job: Job) -> str:
        return render_to_string("admin/inference/job_bar.html", {"shown": shown_job(job), "is_watched": True})

    def tell_bars(self, request: HttpRequest) -> HttpResponse:
        """The bars and states of these jobs, for a list's script."""
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        wanted = [
            pk for text in request.GET.getlist("id")[:_WATCHED_AT_ONCE] if (pk := _uuid(text)) is not None
        ]
        told = {}
        for job in self.get_queryset(request).filter(pk__in=wanted):
            shown = shown_job(job)
            told[str(job.pk)] = {
                "is_open": shown.is_open,
                "bar": render_to_string("admin/inference/job_bar_inside.html", {"shown": shown}),
                "state": render_to_string("admin/inference/job_state_inside.html", {"job": job}),
            }
        return _fresh({"jobs": told})

    # --- one job

    def shown(self, request: HttpRequest, job: Job) -> dict[str, Any]:
        return {
            "title": f"Job {str(job.pk)[:8]}",
            "job": job,
            "shown": shown_job(job),
            "groups": part_groups(job),
            "sources": columns_of(job),
            "preview": first_results(job),
            "may_change": may_change(job, actor(request)),
            "api": f"/api/v1/jobs/{job.pk}",
        }

    def tell_job(self, request: HttpRequest, pk: str) -> HttpResponse:
        """What changes on a job's page while it goes on, for its script."""
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        job = self.job_at(request, pk)
        shown = shown_job(job)
        context = {"job": job, "shown": shown, "groups": part_groups(job)}
        return _fresh({
            "is_open": shown.is_open,
            "progress": render_to_string("admin/inference/job_progress.html", context),
            "parts": render_to_string("admin/inference/job_parts.html", context),
        })  # fmt: skip

    def act(self, request: HttpRequest, pk: str, verb: Verb) -> HttpResponse:
        job = self.job_at(request, pk)
        by = actor(request)
        if not may_change(job, by):
            raise PermissionDenied
        form = ReasonForm(request.POST or None, row=job)
        return answer_verb(
            request,
            site=self.admin_site,
            opts=self.opts,
            name=verb.title,
            of=f"job {str(job.pk)[:8]} of {job.version}",
            warning=verb.says(job),
            form=form,
            run=lambda: verb.run(job, form.cleaned_data["reason"], by),
            back=reverse("admin:inference_job_change", args=[job.pk]),
        )

    def job_at(self, request: HttpRequest, pk: str) -> Job:
        wanted = _uuid(pk)
        job = self.get_queryset(request).filter(pk=wanted).first() if wanted is not None else None
        if job is None:
            raise Http404
        return job

    # --- a new one

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        by = actor(request)
        form = NewJobForm(
            request.POST or None, request.FILES or None, initial={"model": request.GET.get("model", "")}
        )
        if request.method == "POST" and form.is_valid():
            try:
                job = form.save(by)
                messages.success(request, f"Accepted as job {str(job.pk)[:8]}, answered by {job.version}.")
                return redirect("admin:inference_job_change", job.pk)
            except RoundhouseError as error:
                form.add_error(None, str(error))
        return TemplateResponse(
            request,
            "admin/inference/job_add.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": "New job",
                "form": form,
                "models": models_for(by).order_by("slug").values_list("slug", "title")[:_OFFERED_MODELS],
            },
        )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _fresh(told: dict[str, Any]) -> JsonResponse:
    return JsonResponse(told, headers={"Cache-Control": "no-store"})
