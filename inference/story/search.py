"""What the search over everything finds in this room: the story of a request, by its signed id."""

import re

from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from inference.story.selectors import find_request
from registry.errors import NotFound
from registry.kit.admin.search import Hit
from registry.kit.admin.theme import actor

_LOOKS_LIKE_ONE = re.compile("[0-9a-f]{32}")


def find_story(request: HttpRequest, text: str) -> list[Hit]:
    """The page about an answered prediction, if the person may see its Model; no query for ids that we did not sign.

    For other ids that look like ours, such as those of refused requests, it is the page that says what they tell.
    """
    address = f"{reverse('story')}?{urlencode({'id': text})}"
    try:
        find_request(text, actor(request))
    except NotFound:
        looks_like_one = _LOOKS_LIKE_ONE.fullmatch(text)
        return [Hit(f"Request {text[:12]}…", address, "no answered prediction")] if looks_like_one else []
    return [Hit(f"Request {text[:12]}…", address, "which version answered, and why")]
