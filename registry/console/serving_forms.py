"""The form of a version's serving settings: all of them, as they are now."""

from typing import Any

from django import forms

from registry.catalogue.models import Version
from registry.catalogue.serving_settings import GRAPH_LEVELS, MERGING, PROVIDERS, ServingValues
from registry.kit.admin.theme import NumberInput
from registry.kit.admin.verbs import ReasonForm

_CPU, _CUDA = PROVIDERS
_PROVIDERS = (_CPU, f"{_CUDA},{_CPU}", f"{_CPU},{_CUDA}", _CUDA)
_WORDS = {_CPU: "CPU", _CUDA: "CUDA"}
_MERGING = {"proven": "as the batch proof says", "never": "never", "always": "always, on your word"}


def _number(label: str, help_text: str = "", *, required: bool = True) -> forms.FloatField:
    return forms.FloatField(
        label=label, help_text=help_text, required=required, widget=NumberInput(attrs={"step": "any"})
    )


def _whole(label: str, help_text: str = "", *, required: bool = True) -> forms.IntegerField:
    return forms.IntegerField(label=label, help_text=help_text, required=required, widget=NumberInput())


def _choice(label: str, choices: list[tuple[str, str]], help_text: str = "") -> forms.ChoiceField:
    select = forms.Select(attrs={"class": "rh-input"})
    return forms.ChoiceField(label=label, choices=choices, help_text=help_text, widget=select)


class ServingForm(ReasonForm):
    """The service knows the limits; the form only shows what there is and what it means."""

    target_p99_ms = _number(
        "Target p99 (ms)", "The latency that the batcher keeps. Empty: none.", required=False
    )
    max_batch_rows = _whole("Largest batch (rows)")
    batch_memory_bytes = _whole(
        "Memory for batches (bytes)",
        "Batches stay as small as fits. Empty: an eighth of what an engine may hold.",
        required=False,
    )
    merging = _choice(
        "Requests share a run", [(name, _MERGING[name]) for name in MERGING], "See the version's batch proof."
    )
    max_wait_ms = _number("Longest wait for company (ms)", "Must be below the target.")
    max_queue_rows = _whole("Queue (rows)", "What may wait; more is refused.")
    max_queue_bytes = _whole("Queue (bytes)")
    max_output_bytes = _whole("Largest answer (bytes)", "Of one request. A larger one is refused.")
    soft_limit_s = _number("Longest run (seconds)", "A run that takes longer is ended.")
    providers = _choice(
        "Runs on",
        [(names, ", then ".join(_WORDS[name] for name in names.split(","))) for names in _PROVIDERS],
    )
    device_id = _whole("Device", "Number of the GPU; 0 is the first.")
    intra_op_threads = _whole("Threads of a run", "Empty: as the installation says.", required=False)
    graph_level = _choice("Graph optimisation", [(level, level) for level in GRAPH_LEVELS])
    arena_limit_bytes = _whole("GPU memory limit (bytes)", "Empty: none.", required=False)
    allow_non_finite = forms.BooleanField(
        label="Take missing values: NaN and infinity",
        required=False,
        help_text="For models that expect them, such as trees. In JSON, null is then NaN. Off: such requests are refused.",
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
        return ["Every process follows within 2 seconds; the change is a new revision."]

    @property
    def changes(self) -> dict[str, Any]:
        """What the service is told: the settings that are not as they were."""
        given = {name: self.cleaned_data[name] for name in self._now}
        given["providers"] = given["providers"].split(",")
        return {name: value for name, value in given.items() if value != self._now[name]}
