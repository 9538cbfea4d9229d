"""The actions on a version's page: change serving settings, clear crashes, archive."""

from collections.abc import Callable
from typing import Any

from django import forms

from registry.access.policies import Right
from registry.catalogue import services as catalogue
from registry.catalogue.models import Version
from registry.catalogue.services import CRASHES_TO_BREAK
from registry.catalogue.serving_settings import GRAPH_LEVELS, MERGING, PROVIDERS, ServingValues
from registry.catalogue.transitions import ALLOWED, Status
from registry.console.splits import ASK_FOR_SHARE
from registry.kit.actors import Actor
from registry.kit.admin.facts import size
from registry.kit.admin.theme import NumberInput
from registry.kit.admin.verbs import ReasonForm, Verb
from registry.traffic.selectors import versions_ever_live

_CPU, _CUDA = PROVIDERS
_PROVIDERS = (_CPU, f"{_CUDA},{_CPU}", f"{_CPU},{_CUDA}", _CUDA)
_LABELS = {_CPU: "CPU", _CUDA: "CUDA"}
_MERGING = {"proven": "if the batch proof allows it", "never": "never", "always": "always (at your own risk)"}


def _number(label: str, help_text: str = "", *, required: bool = True) -> forms.FloatField:
    return forms.FloatField(
        label=label, help_text=help_text, required=required, widget=NumberInput(attrs={"step": "any"})
    )


def _integer(label: str, help_text: str = "", *, required: bool = True) -> forms.IntegerField:
    return forms.IntegerField(label=label, help_text=help_text, required=required, widget=NumberInput())


def _choice(label: str, choices: list[tuple[str, str]], help_text: str = "") -> forms.ChoiceField:
    select = forms.Select(attrs={"class": "rh-input"})
    return forms.ChoiceField(label=label, choices=choices, help_text=help_text, widget=select)


class ServingForm(ReasonForm):
    """All serving settings with their current values. The service checks the limits."""

    focus = "target_p99_ms"
    target_p99_ms = _number(
        "Target p99 (ms)", "Batches are kept small enough to meet it. Empty: no target.", required=False
    )
    max_batch_rows = _integer("Max. batch size (rows)")
    batch_memory_bytes = _integer(
        "Batch memory (bytes)", "Empty: an eighth of the engine's memory budget.", required=False
    )
    merging = _choice(
        "Merge requests into batches",
        [(name, _MERGING[name]) for name in MERGING],
        "The batch proof is on the version's page, under Checks.",
    )
    max_wait_ms = _number("Max. wait for a fuller batch (ms)", "Must be below the target p99.")
    max_queue_rows = _integer("Max. queue (rows)", "Requests beyond this get 503.")
    max_queue_bytes = _integer("Max. queue (bytes)")
    max_output_bytes = _integer("Max. answer (bytes)", "Per request. A larger answer is refused.")
    soft_limit_s = _number("Max. run time (seconds)", "A longer run is stopped.")
    providers = _choice(
        "Provider",
        [(names, ", then ".join(_LABELS[name] for name in names.split(","))) for names in _PROVIDERS],
    )
    device_id = _integer("Device", "Number of the GPU; 0 is the first.")
    intra_op_threads = _integer("Threads per run", "Empty: default.", required=False)
    graph_level = _choice("Graph optimisation", [(level, level) for level in GRAPH_LEVELS])
    arena_limit_bytes = _integer("GPU memory limit (bytes)", "Empty: no limit.", required=False)
    allow_non_finite = forms.BooleanField(
        label="Accept missing values (NaN and infinity)",
        required=False,
        help_text="For models that expect them, such as trees. In JSON, null then means NaN. Off: such requests are refused.",
    )
    seen = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, row: Version, **kwargs: Any) -> None:
        current = row.serving_settings.get(is_current=True)
        self._now = ServingValues.from_json(current.values).to_json()
        initial = {**self._now, "providers": ",".join(self._now["providers"]), "seen": current.revision}
        super().__init__(*args, row=row, initial=initial, **kwargs)
        self.order_fields([*self._now, "reason", "seen"])

    @property
    def preview(self) -> list[str]:
        return ["Every process uses the new settings within 2 seconds. They are saved as a new revision."]

    @property
    def changes(self) -> dict[str, Any]:
        """The settings that differ from the current revision."""
        values = {name: self.cleaned_data[name] for name in self._now}
        values["providers"] = values["providers"].split(",")
        return {name: value for name, value in values.items() if value != self._now[name]}


class ClearForm(ReasonForm):
    is_destructive = True

    @property
    def preview(self) -> list[str]:
        count = self.row.uncleared_crashes.count()
        crashes = "crash no longer counts" if count == 1 else "crashes no longer count"
        return [
            f"Its {count} {crashes}. Within 2 seconds, every process may run it.",
            f"After the next crash it runs in its own process again; after {CRASHES_TO_BREAK} crashes it is refused.",
        ]


class ArchiveForm(ReasonForm):
    @property
    def preview(self) -> list[str]:
        version = self.row
        preview = [
            f"It can no longer get a share. Its file ({size(version.artifact.size_bytes)}) and its history are kept."
        ]
        if any(once.version.pk == version.pk for once in versions_ever_live(version.model)):
            preview.append("It was live once. To roll back to it later, unarchive it first.")
        return preview


class UnarchiveForm(ReasonForm):
    @property
    def preview(self) -> list[str]:
        state = "failed again, because its check failed" if self.row.failure else "ready again"
        return [
            f"It becomes {state}. Its file ({size(self.row.artifact.size_bytes)}) was kept. Nothing goes live."
        ]


def _change_serving(version: Version, form: ServingForm, by: Actor) -> str:
    changed = catalogue.change_serving(
        version=version,
        changes=form.changes,
        reason=form.cleaned_data["reason"],
        expected_revision=form.cleaned_data["seen"],
        by=by,
    )
    return f"{version} now uses revision {changed.revision} of its serving settings."


def _clear(version: Version, form: ReasonForm, by: Actor) -> str:
    catalogue.clear_crashes(version=version, reason=form.cleaned_data["reason"], by=by)
    return f"The crashes of {version} are cleared."


def _archive(version: Version, form: ReasonForm, by: Actor) -> str:
    catalogue.archive_version(version=version, reason=form.cleaned_data["reason"], by=by)
    return f"{version} is archived."


def _unarchive(version: Version, form: ReasonForm, by: Actor) -> str:
    unarchived = catalogue.unarchive_version(version=version, reason=form.cleaned_data["reason"], by=by)
    return f"{unarchived} is {unarchived.status} again."


def _may_become(status: Status) -> Callable[[Version], bool]:
    return lambda version: status in ALLOWED[Status(version.status)]


VERSION_VERBS = (
    ASK_FOR_SHARE,
    Verb("serving", "Change serving settings", Right.WRITE, ServingForm, _change_serving, lambda _: True),
    Verb("clear", "Clear crashes", Right.SET_SPLIT, ClearForm, _clear, lambda version: version.has_crashed),
    Verb("archive", "Archive", Right.WRITE, ArchiveForm, _archive, _may_become(Status.ARCHIVED)),
    Verb("unarchive", "Unarchive", Right.WRITE, UnarchiveForm, _unarchive,
         lambda version: version.status == Status.ARCHIVED),
)  # fmt: skip
