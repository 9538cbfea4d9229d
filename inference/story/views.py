"""The page that tells the story of a pasted request id."""

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.views.decorators.http import require_GET

from inference.story.chapters import Chapter
from inference.story.selectors import Story, story_of
from registry.access.policies import Right
from registry.errors import NotFound
from registry.kit.admin.theme import actor

_LONGEST = 200  # of what is shown again; no id is as long


@require_GET
def story_page(request: HttpRequest) -> HttpResponse:
    by = actor(request)
    if Right.READ not in by.rights:
        raise PermissionDenied
    text = request.GET.get("id", "").strip().strip("\"'")[:_LONGEST]
    story: Story | None = None
    problem = ""
    if text:
        try:
            story = story_of(text, by)
        except NotFound as error:
            problem = str(error)
    own_path = reverse("story")
    context = {
        "title": "Story of a request",
        "text": text,
        "story": story,
        "chapters": [(name, _shown(chapter)) for name, chapter in story.chapters] if story else [],
        "problem": problem,
        "permalink": f"{settings.PUBLIC_URL}{own_path}?{urlencode({'id': text})}",
        "audit_search": f"{reverse('admin:registry_auditrecord_changelist')}?{urlencode({'q': text})}",
        "may_read_record": Right.READ_RECORD in by.rights,
    }
    return TemplateResponse(
        request,
        "admin/inference/story.html",
        {**admin.site.each_context(request), **context},
        status=404 if problem else 200,
    )


def _shown(chapter: Chapter) -> dict[str, Any]:
    """A chapter with its facts as (name, value, whether the value is a moment)."""
    facts = [(name, value, isinstance(value, datetime)) for name, value in chapter.facts.items()]
    return {
        "title": chapter.title,
        "sentences": chapter.sentences,
        "facts": facts,
        "changes": chapter.changes,
        "links": chapter.links,
    }


# Included before the admin's own URLs, which end with a catch-all.
urlpatterns = [path("story/", admin.site.admin_view(story_page), name="story")]
