"""The kind of job that every installation has: predictions by one version of a Model."""

from inference.checks.proofs import merged_rows
from inference.checks.version_tasks import callers_signatures
from inference.engine.batch_proof import BatchProof
from inference.jobs.errors import BadJob
from inference.jobs.kinds import HeldWork, JobKind, JobTerms, SubmittedJob
from inference.jobs.models import Job
from inference.jobs.running.predictor import BulkPredictor
from inference.pipelines.pipeline import ItemPipeline
from inference.pipelines.tasks import TASKS
from inference.rows.layout import Layout
from inference.serving.routes import Route, Target, read_route
from inference.serving.services import check_approved
from inference.tensors.signature import Signature
from registry.access.key_ring import Principal
from registry.access.policies import Right
from registry.catalogue.models import Version
from registry.catalogue.selectors import current_serving
from registry.intake.checklist.models import CheckLine
from registry.intake.checklist.selectors import last_facts
from registry.kit.actors import Actor

CHUNK_S = 1.5
MAX_CHUNK_ROWS = 20_000  # above this, reading and writing take longer than the model
_UNKNOWN_ROW_S = 0.001
_URL_CHUNK_ROWS = 500  # fetched within minutes, even if most hosts are slow


class Predictions(JobKind):
    title = "predictions"
    right = Right.PREDICT
    has_model = True

    def check_may_submit(self, submitted: SubmittedJob, by: Actor) -> None:
        by.check(Right.PREDICT, model_id=read_route(submitted.model, within=by.models).model_id)

    def terms(self, submitted: SubmittedJob, *, by: Actor, principal: Principal | None) -> JobTerms:
        """The version is the one that would answer now: the given number, the alias, or the split's choice."""
        route = read_route(submitted.model, within=by.models)
        key = route.key_of(tenant=principal.tenant if principal is not None else None)
        target = route.choose(key, version=submitted.version, alias=submitted.alias)
        version = _approved_version(route, target, by)
        return JobTerms(version, self.check_options(submitted.options), chunk_rows_for(version))

    def previewed_version(self, submitted: SubmittedJob, by: Actor) -> tuple[Version | None, bool]:
        """The version with the given number, else the first of the split."""
        self.check_may_submit(submitted, by)
        route = read_route(submitted.model, within=by.models)
        fixed = route.fixed_target(version=submitted.version)
        return _approved_version(route, fixed or route.owners[0], by), fixed is None

    def signatures(self, version: Version | None) -> tuple[Signature, ...]:
        version = _known(version)
        if version.signature is None:
            raise BadJob(f"The inputs of {version} are not known until it has been checked.")
        return callers_signatures(version)

    def open(self, job: Job, signature: Signature, held: HeldWork) -> BulkPredictor:
        return BulkPredictor(_known(job.version), signature, held)

    def rows_per_chunk(self, job: Job, layout: Layout) -> int:
        task = TASKS[_known(job.version).model.task]
        address = task.address if issubclass(task, ItemPipeline) else ""
        names_urls = any(item.spec.name == address for item in layout.inputs)
        return min(job.chunk_rows, _URL_CHUNK_ROWS) if names_urls else job.chunk_rows


def _approved_version(route: Route, target: Target, by: Actor) -> Version:
    may_ask_any = by.may(Right.PREDICT_UNAPPROVED, model_id=route.model_id)
    check_approved(route.slug, target, may_ask_any=may_ask_any)
    return Version.objects.select_related("model").get(pk=target.version_id)


def _known(version: Version | None) -> Version:
    if version is None:
        raise BadJob("A prediction needs a version.")  # a constraint of the table sees to it
    return version


def chunk_rows_for(version: Version) -> int:
    """As many whole batches as take about CHUNK_S, according to the version's check; at least one."""
    batch_rows = _merged_rows(version)
    batches = max(1, round(CHUNK_S / (batch_rows * _row_seconds(version, batch_rows))))
    return max(batch_rows, min(batches * batch_rows, MAX_CHUNK_ROWS // batch_rows * batch_rows))


def _merged_rows(version: Version) -> int:
    """How many rows share a run, according to the batch proof of the last check."""
    values = current_serving(version.pk)
    proven = last_facts(version, "batching").get("rows") or 1
    return merged_rows(values, BatchProof(int(proven), "", ""))


def _row_seconds(version: Version, batch_rows: int) -> float:
    """Seconds per row in the largest measured batch that is not larger than those to be run."""
    warmed = CheckLine.objects.filter(run__version=version, step="warmup", facts__has_key="profile")
    facts = warmed.order_by("-pk").values_list("facts", flat=True).first() or {}
    measured = [(rows, ms) for rows, ms in facts.get("profile", ()) if rows <= batch_rows]
    if not measured:
        return _UNKNOWN_ROW_S
    rows, ms = max(measured)
    return max(float(ms), 0.001) / 1000 / int(rows)
