"""The panel "Jobs" of a Model's page."""

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from inference.jobs.selectors import jobs_in_reach
from inference.jobs.shown import shown_job
from registry.access.policies import Right
from registry.catalogue.models import Model
from registry.kit.admin.theme import actor

_SHOWN = 5


def draw_jobs(request: HttpRequest, model: Model) -> SafeString:
    by = actor(request)
    jobs = jobs_in_reach(by).filter(model=model)[:_SHOWN]
    shown = {
        "model": model,
        "jobs": [shown_job(job) for job in jobs],
        "may_ask": by.may(Right.PREDICT, model_id=model.pk),
    }
    return render_to_string("admin/inference/job_panel.html", shown, request)
