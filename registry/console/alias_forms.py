"""The forms of aliases: what one names, and who may move it."""

from typing import Any

from django import forms
from django.contrib.auth.models import User

from registry.access.models import ApiKey
from registry.catalogue.models import Alias, AliasGuard, Model, Version
from registry.catalogue.policies import movers
from registry.catalogue.selectors import guard_of, keys_that_may_move, people_who_may_move
from registry.catalogue.transitions import Status
from registry.kit.admin.theme import TextInput
from registry.kit.admin.verbs import ReasonForm

_NEWEST = 20


class MoveForm(ReasonForm):
    """Asks which version the alias is to name."""

    field_order = ["version", "reason"]

    version = forms.ModelChoiceField(
        queryset=Version.objects.none(),
        label="Version",
        empty_label=None,
        widget=forms.Select(attrs={"class": "rh-input"}),
        help_text=f"The {_NEWEST} newest that are ready.",
    )
    seen = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, row: Alias, **kwargs: Any) -> None:
        super().__init__(*args, row=row, initial={"seen": row.revision}, **kwargs)
        ready = Version.objects.filter(model=row.model, status=Status.READY).exclude(aliases=row)
        newest = list(ready.order_by("-number").values_list("pk", flat=True)[:_NEWEST])
        self.offered = Version.objects.select_related("model").filter(pk__in=newest).order_by("-number")
        self.fields["version"].queryset = self.offered  # type: ignore[attr-defined]

    @property
    def preview(self) -> list[str]:
        if not self.offered:
            return [_now(self.row), f"No other version of {self.row.model.slug} is ready."]
        return [_now(self.row), f"Who asks for {self.row} gets the version you choose within 2 seconds."]


class RetireForm(ReasonForm):
    is_destructive = True
    seen = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, row: Alias, **kwargs: Any) -> None:
        super().__init__(*args, row=row, initial={"seen": row.revision}, **kwargs)

    @property
    def preview(self) -> list[str]:
        return [_now(self.row), f"Who asks for {self.row} is told that there is no such alias."]


class KeysField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]  # takes none at run time
    def label_from_instance(self, key: Any) -> str:
        return f"{key}, tenant {key.tenant.slug}"


class GuardForm(ReasonForm):
    """Asks who may move an alias, among those whom role or scope lets move any."""

    fields_template = "admin/registry/guard_fields.html"
    field_order = ["name", "people", "keys", "reason"]

    people = forms.ModelMultipleChoiceField(
        queryset=User.objects.none(), required=False, widget=forms.CheckboxSelectMultiple
    )
    keys = KeysField(
        queryset=ApiKey.objects.none(), required=False, widget=forms.CheckboxSelectMultiple, label="API keys"
    )
    seen = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, row: Model, guard: AliasGuard | None = None, **kwargs: Any) -> None:
        initial: dict[str, Any] = {"seen": 0}
        if guard is not None:
            initial = {"seen": guard.revision, "people": guard.people.all(), "keys": guard.keys.all()}
        super().__init__(*args, row=row, initial=initial, **kwargs)
        self.guard = guard
        self.able = {"people": people_who_may_move(row), "keys": keys_that_may_move(row)}
        for name, found in self.able.items():
            self.fields[name].queryset = found  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if not given.get("people") and not given.get("keys"):
            self.add_error("people", "Choose at least one person or key.")
        return given

    @property
    def preview(self) -> list[str]:
        """Who can move it until then."""
        if self.guard is None:
            people, keys = self.able["people"].count(), self.able["keys"].count()
            return [
                f"Until now {_counted(people, 'person', 'people')} and {_counted(keys, 'key', 'keys')} can."
            ]
        named = movers(self.guard)
        able, gone = ([one.name for one in named if one.may is may] for may in (True, False))
        said = [f"Until now these can: {', '.join(able) or 'nobody'}."]
        if gone:
            said.append(f"No longer able to move any alias here, and therefore left out: {', '.join(gone)}.")
        return said


class NewGuardForm(GuardForm):
    """Asks for the name too."""

    name = forms.CharField(
        label="Alias",
        max_length=64,
        widget=TextInput(),
        help_text="Its name without @; there need not be an alias of this name yet.",
    )

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if guard_of(self.row, name) is not None:
            raise forms.ValidationError(f"@{name} has a guard already; change that one.")
        return name


class UnguardForm(ReasonForm):
    @property
    def preview(self) -> list[str]:
        people, keys = people_who_may_move(self.row).count(), keys_that_may_move(self.row).count()
        return [
            f"From then on {_counted(people, 'person', 'people')} and {_counted(keys, 'key', 'keys')} can move it."
        ]


def _now(alias: Alias) -> str:
    return f"It names version {alias.version.number} now." if alias.version else "It names no version now."


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
