"""What the jobs API accepts and returns."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from inference.jobs.errors import BadJob
from inference.jobs.kinds import kind_named
from inference.jobs.models import MAX_KIND, PREDICTION, RESULT_FORMATS, Chunk, Format, Job, Store
from inference.jobs.selectors import progress_of
from registry.catalogue.models import Model
from registry.kit.text import MAX_REASON

Base = serializers.Serializer[Any]
Text = serializers.CharField


class KnownFieldsOnly:
    """Refuses unknown fields, so that a misspelt field is not ignored."""

    fields: Any

    def to_internal_value(self, data: Any) -> Any:
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, dict) else []
        if unknown:
            known = ", ".join(self.fields)
            raise serializers.ValidationError(
                {name: [f"Unknown field; use one of: {known}."] for name in unknown}
            )
        return super().to_internal_value(data)  # type: ignore[misc]


class InputSerializer(KnownFieldsOnly, Base):
    upload = serializers.UUIDField(
        default=None, help_text="One of your complete uploads. The job consumes it."
    )
    store = Text(default="", allow_blank=True, max_length=64, help_text="Name of a store; requires `path`.")
    path = Text(default="", allow_blank=True, max_length=400)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if bool(attrs["upload"]) == bool(attrs["store"]) or bool(attrs["store"]) != bool(attrs["path"]):
            raise serializers.ValidationError("Send either `upload`, or both `store` and `path`.")
        return attrs


class OutputSerializer(KnownFieldsOnly, Base):
    format = serializers.ChoiceField(
        choices=RESULT_FORMATS,
        default=None,
        allow_null=True,
        help_text="Default: same as the input; jsonl for a zip.",
    )
    store = Text(
        default="",
        allow_blank=True,
        max_length=64,
        help_text="Name of a store; requires `path`. Default: kept on the server until the job expires.",
    )
    path = Text(default="", allow_blank=True, max_length=400)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if bool(attrs["store"]) != bool(attrs["path"]):
            raise serializers.ValidationError("Send both `store` and `path`, or neither.")
        return attrs


class OnDoneSerializer(KnownFieldsOnly, Base):
    task = Text(max_length=200, help_text="Name of a task in your own Celery.")
    queue = Text(max_length=200)


class TargetSerializer(KnownFieldsOnly, Base):
    """What a new job is to do, in the body or the query string: Model and version, or another kind of job."""

    kind = Text(default=PREDICTION, max_length=MAX_KIND, help_text="Other kinds have no Model.")
    model = Text(default="", allow_blank=True, max_length=64, help_text="Required for predictions.")
    version = serializers.IntegerField(
        min_value=1,
        default=None,
        allow_null=True,
        help_text="Default: the version that the split chooses when the job is accepted.",
    )
    alias = Text(default="", allow_blank=True, max_length=64)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        try:
            kind = kind_named(attrs["kind"])
        except BadJob as error:
            raise serializers.ValidationError({"kind": [str(error)]}) from None
        if kind.has_model and not attrs["model"]:
            raise serializers.ValidationError({"model": ["This field is required."]})
        named = [name for name in ("model", "version", "alias") if attrs[name]]
        if named and not kind.has_model:
            unwanted = f"Jobs of {kind.title} have no Model; remove this field."
            raise serializers.ValidationError({name: [unwanted] for name in named})
        return attrs


class NewJobSerializer(TargetSerializer):
    options = serializers.DictField(default=dict, help_text="Options of the kind of job.")
    rows = serializers.ListField(
        default=None,
        help_text="Objects with a value for each column; `contract` maps columns to inputs.",
    )
    instances = serializers.ListField(
        default=None,
        help_text="As in predict: values of the only input, or objects with a value for each input.",
    )
    inputs = serializers.DictField(
        default=None, help_text="As in predict: tensors by input name, with the rows on the first axis."
    )
    input = InputSerializer(default=None, help_text="A file that is already on the server.")
    format = serializers.ChoiceField(choices=Format.choices, default=None, help_text="Format of the file.")
    gzip = serializers.BooleanField(default=False, help_text="Whether the file is compressed.")
    contract = serializers.DictField(
        default=dict, help_text="How columns become inputs, and what happens to bad rows."
    )
    output = OutputSerializer(default=None)
    on_done = OnDoneSerializer(default=None, help_text="Calls one of your own tasks when the job ends.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        sources = [name for name in ("rows", "instances", "inputs", "input") if attrs[name] is not None]
        if len(sources) != 1:
            raise serializers.ValidationError(
                "Send exactly one of `rows`, `instances`, `inputs` and `input`."
            )
        if attrs["input"] is not None and attrs["format"] is None:
            raise serializers.ValidationError({"format": ["Send the format of the file."]})
        return attrs


class FileQuerySerializer(TargetSerializer):
    """Query parameters of a job whose file is the body."""

    format = serializers.ChoiceField(
        choices=Format.choices, default=None, help_text="Default: by Content-Type."
    )
    output_format = serializers.ChoiceField(
        choices=RESULT_FORMATS, default=None, help_text="Default: same as the file; jsonl for a zip."
    )
    contract = serializers.JSONField(
        default=dict, binary=True, help_text="The contract as JSON, percent-encoded."
    )
    options = serializers.JSONField(
        default=dict, binary=True, help_text="Options of the kind of job as JSON, percent-encoded."
    )

    def validate_contract(self, value: Any) -> Any:
        return _json_object(value, "contract")

    def validate_options(self, value: Any) -> Any:
        return _json_object(value, "options")


def _json_object(value: Any, name: str) -> Any:
    if not isinstance(value, dict):
        raise serializers.ValidationError(f"The {name} must be a JSON object.")
    return value


class ProgressSerializer(Base):
    rows_total = serializers.IntegerField(allow_null=True, help_text="null while rows are being counted.")
    rows_done = serializers.IntegerField()
    rows_bad = serializers.IntegerField(help_text="Skipped rows; each has a line in the errors.")
    fraction = serializers.FloatField(help_text="From 0 to 1.")
    rows_per_s = serializers.FloatField(allow_null=True, help_text="Per second of `worked_s`.")
    eta_s = serializers.FloatField(allow_null=True, help_text="null while unknown.")
    chunks_total = serializers.IntegerField()
    chunks_done = serializers.IntegerField()
    chunks_stuck = serializers.IntegerField(help_text="Failed or dead; a retry runs them again.")
    worked_s = serializers.FloatField(help_text="Time during which workers had parts of the job.")
    waited_s = serializers.FloatField(help_text="The rest of the time from creation to end.")


class LinksSerializer(Base):
    self = serializers.CharField()
    results = serializers.CharField()
    errors = serializers.CharField()  # type: ignore[assignment]  # the metaclass removes it
    chunks = serializers.CharField()
    cancel = serializers.CharField()
    retry = serializers.CharField()


class JobSerializer(serializers.ModelSerializer[Job]):
    model = serializers.SlugRelatedField[Model](
        slug_field="slug", read_only=True, allow_null=True, help_text="null for kinds without a Model."
    )
    version = serializers.IntegerField(source="version.number", read_only=True, allow_null=True, default=None)
    options = serializers.DictField(read_only=True)
    format = serializers.ChoiceField(choices=Format.choices, source="input_format", read_only=True)
    gzip = serializers.BooleanField(source="is_gzipped", read_only=True)
    progress = serializers.SerializerMethodField()
    links = serializers.SerializerMethodField()
    contract = serializers.DictField(read_only=True)
    on_done = OnDoneSerializer(read_only=True, allow_null=True)

    class Meta:
        model = Job
        fields = [
            "id", "status", "failure", "kind", "model", "version", "options", "source", "format", "gzip", "output_format",
            "contract", "on_done", "progress", "made_by", "created_at", "started_at", "ended_at", "expires_at", "links",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(ProgressSerializer)
    def get_progress(self, job: Job) -> dict[str, Any]:
        data: dict[str, Any] = ProgressSerializer(progress_of(job)).data
        return data

    @extend_schema_field(LinksSerializer)
    def get_links(self, job: Job) -> dict[str, str]:
        url = job_url(job)
        names = ("results", "errors", "chunks", "cancel", "retry")
        return {"self": url, **{name: f"{url}/{name}" for name in names}}


class ChunkSerializer(serializers.ModelSerializer[Chunk]):
    class Meta:
        model = Chunk
        fields = [
            "index", "status", "failure", "first_row", "rows", "rows_done", "rows_bad", "attempt",
            "leases_lost", "runs_alone", "holder", "lease_until", "ended_at",
        ]  # fmt: skip
        read_only_fields = fields
        extra_kwargs = {
            "attempt": {"help_text": "How many times a worker has taken it."},
            "leases_lost": {
                "help_text": "How many workers died while processing it; after three, it is dead."
            },
        }


class CancelSerializer(KnownFieldsOnly, Base):
    reason = Text(max_length=MAX_REASON, default="", allow_blank=True)


class RetrySerializer(KnownFieldsOnly, Base):
    reason = Text(max_length=MAX_REASON)


def job_url(job: Job) -> str:
    return f"/api/v1/jobs/{job.pk}"


class StoreSerializer(serializers.ModelSerializer[Store]):
    class Meta:
        model = Store
        fields = ["name", "kind", "may_read", "may_write"]
        read_only_fields = fields
