"""The base of every room's API: paging, filters, rights, revisions, and POSTs that are safe to repeat.


    class ModelsView(RegistryViewSet[Model]):
        rights = {"list": Right.READ, "retrieve": Right.READ, "create": Right.WRITE, "partial_update": Right.WRITE}
        serializer_class = ModelSerializer
        filterset_fields = ["task", "owner"]

        def get_queryset(self) -> QuerySet[Model]:
            return visible_models(Model.objects.all(), self.actor)

        @idempotent()
        def create(self, request: Request) -> Response:
            body = self.read(NewModelSerializer)
            return self.created(services.create_model(**body, by=self.actor))

        def partial_update(self, request: Request, slug: str) -> Response:
            body = self.read(ModelChangeSerializer)
            return self.changed(lambda model: services.change_model(model=model, **body, by=self.actor))

An action that is not in `rights` is denied. Routes end without a slash; put them in the room's `urls.py`.
"""

from registry.kit.api.idempotency import idempotent
from registry.kit.api.lists import CursorPages
from registry.kit.api.requests import HasRight, actor_of, check_if_match, etag_of
from registry.kit.api.views import RegistryViewSet

__all__ = [
    "CursorPages",
    "HasRight",
    "RegistryViewSet",
    "actor_of",
    "check_if_match",
    "etag_of",
    "idempotent",
]
