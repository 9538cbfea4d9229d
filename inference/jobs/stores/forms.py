from typing import Any

from inference.jobs.stores.models import Store, StoreKind
from inference.jobs.stores.services import StoreWish
from registry.kit.admin.theme import ModelForm


class StoreForm(ModelForm[Store]):
    """What a store shall be; whether it may be so is the service's matter."""

    class Meta:
        model = Store
        fields = ["name", "kind", "root", "prefix", "may_read", "may_write", "for_people", "tenants"]

    @property
    def wish(self) -> StoreWish:
        given: dict[str, Any] = dict(self.cleaned_data)
        given.pop("name", None)
        return StoreWish(**{**given, "kind": StoreKind(given["kind"])})
