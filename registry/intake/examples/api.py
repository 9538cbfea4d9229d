"""Examples, golden sets and their results over HTTP."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpRequest
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access.policies import Right
from registry.catalogue.api import ModelViewSet
from registry.catalogue.models import Model
from registry.catalogue.selectors import version_numbered
from registry.catalogue.task_kinds import TASK_KINDS
from registry.errors import BodyTooLarge, Invalid
from registry.intake.api import content_length
from registry.intake.examples import selectors, services
from registry.intake.examples.golden_files import rows_in
from registry.intake.examples.models import ConformanceExample, GoldenResult, GoldenSet, Metric
from registry.intake.examples.rows import ATOL, MAX_SET_BYTES, RTOL, pieces_of
from registry.kit.actors import in_scope
from registry.kit.api import CursorPages, check_if_match, etag_of, idempotent
from registry.kit.text import MAX_REASON


class NewExampleSerializer(serializers.Serializer[Any]):
    inputs = serializers.DictField(help_text="A value for each input; tensors are nested lists.")
    expected = serializers.DictField(help_text="A value for each output to compare.")
    atol = serializers.FloatField(default=ATOL, min_value=0)
    rtol = serializers.FloatField(default=RTOL, min_value=0)


@extend_schema_field(NewExampleSerializer(many=True))
class ExamplesField(serializers.ListField):
    """Not validated here: the service checks the examples and names the one that is wrong."""


class NewExamplesSerializer(serializers.Serializer[Any]):
    examples = ExamplesField()


class ExampleSerializer(serializers.ModelSerializer[ConformanceExample]):
    inputs = serializers.DictField(read_only=True)
    expected = serializers.DictField(read_only=True)

    class Meta:
        model = ConformanceExample
        fields = ["position", "inputs", "expected", "atol", "rtol"]
        read_only_fields = fields


class GoldenSetSerializer(serializers.ModelSerializer[GoldenSet]):
    model = serializers.SlugRelatedField[Model](slug_field="slug", read_only=True)
    preprocessing = serializers.CharField(
        read_only=True,
        help_text="The pre-processing hash of the versions that it judges; empty if none has been measured that has one.",
    )

    class Meta:
        model = GoldenSet
        fields = [
            "model", "revision", "rows", "metric", "floor", "margin", "sha256", "preprocessing", "reason", "made_by",
            "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class GoldenSetQuery(serializers.Serializer[Any]):
    """The parameters of a golden set; its rows are the body."""

    metric = serializers.ChoiceField(
        choices=Metric.choices,
        help_text="Those that fit the Model's task, such as `span_f1` for entities, or `ndcg` for recommendations.",
    )
    floor = serializers.FloatField(
        default=None,
        allow_null=True,
        help_text="The worst value that passes (for `error` and `log_loss`, the largest).",
    )
    margin = serializers.FloatField(
        default=None, allow_null=True, help_text="How much worse a version may be than the live one."
    )
    reason = serializers.CharField(max_length=MAX_REASON, default="set through the API")
    version = serializers.IntegerField(
        default=None,
        allow_null=True,
        min_value=1,
        help_text="A version whose pre-processing the set is made for; by default the live version, or else the newest that is"
        " ready. Versions with another pre-processing hash cannot gain live share.",
    )

    def to_internal_value(self, data: Any) -> Any:
        if unknown := sorted(set(data) - set(self.fields)):
            raise serializers.ValidationError(
                {
                    name: [f"There is no such parameter; the parameters are {', '.join(self.fields)}."]
                    for name in unknown
                }
            )
        return super().to_internal_value(data)


class WrongAnswerSerializer(serializers.Serializer[Any]):
    row = serializers.IntegerField(help_text="Counted from 1.")
    text = serializers.CharField(
        required=False, help_text="What was asked: the beginning of a text, the user, or the row of a table."
    )
    expected = serializers.JSONField()
    got = serializers.JSONField()


class GoldenResultSerializer(serializers.ModelSerializer[GoldenResult]):
    version = serializers.IntegerField(source="version.number", read_only=True)
    golden_set = serializers.IntegerField(source="golden_set.revision", read_only=True)
    metric = serializers.CharField(source="golden_set.metric", read_only=True)
    wrong = WrongAnswerSerializer(many=True, read_only=True, help_text="The first 1,000.")

    class Meta:
        model = GoldenResult
        fields = ["version", "golden_set", "metric", "value", "rows", "wrong", "created_at"]
        read_only_fields = fields


class GoldenResultFilters(filters.FilterSet):  # type: ignore[misc]  # the package has no type hints
    version = filters.NumberFilter(field_name="version__number")
    golden_set = filters.NumberFilter(field_name="golden_set__revision")


class ShortPages(CursorPages):
    """A result may contain a thousand wrong answers."""

    page_size = max_page_size = 10


@extend_schema(tags=["checks"])
@extend_schema_view(list=extend_schema(summary="List a version's examples", operation_id="list_examples"))
class ExamplesView(ModelViewSet[ConformanceExample]):
    rights: ClassVar[Mapping[str, str]] = {"list": Right.READ, "create": Right.WRITE}
    queryset = ConformanceExample.objects.none()
    serializer_class = ExampleSerializer
    paging_order = "position"

    def get_queryset(self) -> QuerySet[ConformanceExample]:
        rows = in_scope(ConformanceExample.objects.all(), self.actor, model="version__model_id")
        return rows.filter(version=self.url_version())

    @extend_schema(
        summary="Add examples that a version's check must reproduce", operation_id="add_examples",
        request=NewExamplesSerializer, responses={201: ExampleSerializer(many=True)},
    )  # fmt: skip
    @idempotent()
    def create(self, request: Request, slug: str, number: int) -> Response:
        data = self.read(NewExamplesSerializer)
        made = services.add_examples(version=self.url_version(), **data, by=self.actor)
        return Response(self.get_serializer(made, many=True).data, status=201)


@extend_schema(tags=["checks"])
@extend_schema_view(
    retrieve=extend_schema(summary="Show a Model's golden set", operation_id="show_golden_set")
)
class GoldenSetView(ModelViewSet[GoldenSet]):
    rights: ClassVar[Mapping[str, str]] = {"retrieve": Right.READ, "update": Right.WRITE}
    queryset = GoldenSet.objects.none()
    serializer_class = GoldenSetSerializer

    def get_object(self) -> GoldenSet:
        return selectors.the_golden_set(self.url_model())

    @extend_schema(
        summary="Set a Model's golden set: one JSON object per line, with `inputs` and `label`, or a zip of pictures",
        operation_id="put_golden_set", parameters=[GoldenSetQuery],
        request={"application/octet-stream": OpenApiTypes.BINARY}, responses=GoldenSetSerializer,
    )  # fmt: skip
    def update(self, request: Request, slug: str) -> Response:
        query = GoldenSetQuery(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        model = self.url_model()
        chosen = dict(query.validated_data)
        number = chosen.pop("version")
        version = version_numbered(model, number) if number is not None else None
        if "If-Match" in request.headers:
            present = selectors.current_golden_set(model)
            check_if_match(request, etag_of(present) if present is not None else '""')
        body = request._request
        pieces = pieces_of(body.read, _checked_length(body))
        lines = rows_in(pieces, has_pictures=TASK_KINDS[model.task].has_pictures)
        new = services.put_golden_set(model=model, lines=lines, version=version, **chosen, by=self.actor)
        return self.shown(new)


@extend_schema(tags=["checks"])
@extend_schema_view(
    list=extend_schema(
        summary="List the results of versions on golden sets", operation_id="list_golden_results"
    )
)
class GoldenResultsView(ModelViewSet[GoldenResult]):
    rights: ClassVar[Mapping[str, str]] = {"list": Right.READ}
    queryset = GoldenResult.objects.none()
    serializer_class = GoldenResultSerializer
    filterset_class = GoldenResultFilters
    pagination_class = ShortPages

    def get_queryset(self) -> QuerySet[GoldenResult]:
        return selectors.results_for(self.actor).filter(version__model=self.url_model())


def _checked_length(request: HttpRequest) -> int:
    length = content_length(request)
    if length > MAX_SET_BYTES:
        raise BodyTooLarge(f"A golden set may have at most {MAX_SET_BYTES:,} bytes; this one has {length:,}.")
    if not length:
        raise Invalid("The body is empty; send one JSON object per line.")
    return length
