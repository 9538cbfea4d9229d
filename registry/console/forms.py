"""Forms of the verbs on a Model's or version's page."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django import forms

from registry.catalogue.models import MAX_REASON, Model, Version
from registry.theme import NumberInput, TextInput
from registry.traffic.selectors import current_split

_HUNDRED = Decimal(100)


class ReasonForm(forms.Form):
    """Asks why."""

    reason = forms.CharField(max_length=MAX_REASON, widget=TextInput(), help_text="Kept with the change.")

    def __init__(self, *args: Any, row: Any, **kwargs: Any) -> None:
        self.row = row
        super().__init__(*args, **kwargs)


class StopForm(ReasonForm):
    """Asks what callers are told."""

    reason = forms.CharField(
        label="text",
        max_length=MAX_REASON,
        widget=TextInput(),
        help_text="Callers get it with every refused request.",
    )


class SplitForm(ReasonForm):
    """One percentage per ready version, and the split that the person saw."""

    seen = forms.IntegerField(widget=forms.HiddenInput)
    field_order: list[str] | None = None

    def __init__(self, *args: Any, row: Model, **kwargs: Any) -> None:
        kwargs["initial"] = {"seen": row.split_revision}
        super().__init__(*args, row=row, **kwargs)
        self.versions: dict[str, Version] = {}
        split = current_split(row)
        shares = split.shares() if split is not None else {}
        for version in self._offered(row, shares):
            name = f"version_{version.number}"
            self.versions[name] = version
            self.fields[name] = forms.DecimalField(
                label=f"version {version.number}, %",
                min_value=0,
                max_value=100,
                decimal_places=2,
                initial=Decimal(shares.get(version.pk, 0)) / 100,
                widget=NumberInput(attrs={"step": "0.01"}),
            )
        self.order_fields([*self.versions, "reason", "seen"])

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        total = sum((cleaned.get(name) or Decimal(0) for name in self.versions), Decimal(0))
        if not self.errors and total != _HUNDRED:
            raise forms.ValidationError(
                f"The shares add up to {total.normalize():f} %; they must make 100 %."
            )
        return cleaned

    @property
    def arms(self) -> dict[Version, int]:
        """Basis points of those that get something."""
        shares = {version: int(self.cleaned_data[name] * 100) for name, version in self.versions.items()}
        return {version: share for version, share in shares.items() if share}

    @staticmethod
    def _offered(model: Model, shares: dict[int, int]) -> Iterable[Version]:
        """The newest ready versions, and those that answer now however old they are."""
        ready = model.versions.filter(status="ready").select_related("model")
        newest = list(ready.order_by("-number")[:10])
        live = [version for version in ready.filter(pk__in=shares) if version not in newest]
        return sorted([*newest, *live], key=lambda version: -version.number)
