"""What the search over everything finds in this room: the story of a request, by its signed id."""

from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from inference.story.selectors import find_request
from registry.errors import NotFound
from registry.kit.admin.search import Hit
from registry.kit.admin.theme import actor


def find_story(request: HttpRequest, text: str) -> list[Hit]:
    """The page about an answered prediction, if the person may see its Model; no query for ids that we did not sign."""
    try:
        find_request(text, actor(request))
    except NotFound:
        return []
    address = f"{reverse('story')}?{urlencode({'id': text})}"
    return [Hit(f"Request {text[:12]}…", address, "which version answered, and why")]
