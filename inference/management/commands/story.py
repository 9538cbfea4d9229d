from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from inference.story.selectors import story_of
from inference.story.text import story_as_text
from registry.management.base import ServiceCommand


class Command(ServiceCommand):
    help = (
        "Tell the story of a request: which version answered, why, who approved it, and what changed since."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "request_id",
            help="The request id of an answered prediction: `request_id` in its body, or the header X-Request-ID.",
        )

    def run(self, options: dict[str, Any]) -> str:
        story = story_of(options["request_id"].strip(), self.machine_actor())
        return story_as_text(story, address=settings.PUBLIC_URL)
