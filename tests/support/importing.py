"""Models with files that answer, brought in through the product's own import."""

from inference.checks.services import import_version
from registry.catalogue.models import Model, Task, Version
from tests.support.factories import a_model, an_actor


def import_live(*, slug: str, title: str = "", task: str = Task.TENSOR, **more) -> Version:
    """Import a file as a version of a Model that one person may set live, so that the first is."""
    if not Model.objects.filter(slug=slug).exists():
        a_model(slug, title=title, task=task)
    return import_version(slug=slug, task=task, by=an_actor(), **more)
