"""Forms of the record's admin pages."""

from typing import Any

from django import forms

from registry.kit.admin.theme import CheckboxSelectMultiple, ModelForm
from registry.record.kinds import KINDS
from registry.record.models import Subscription
from registry.record.subscriptions import Wish


class SubscriptionForm(ModelForm[Subscription]):
    """Who is told of what; whether it may be so is the service's matter."""

    kinds = forms.MultipleChoiceField(
        required=False,
        choices=lambda: [(kind, sentence) for kind, sentence in KINDS.items() if kind != "test"],
        widget=CheckboxSelectMultiple,
        help_text="None means all of them.",
    )

    class Meta:
        model = Subscription
        fields = ["name", "kinds", "model", "url", "email", "enabled"]

    @property
    def wish(self) -> Wish:
        given: dict[str, Any] = self.cleaned_data
        model = given["model"]
        return Wish(
            name=given["name"],
            kinds=given["kinds"],
            model_id=model.pk if model else None,
            url=given["url"],
            email=given["email"],
            enabled=given["enabled"],
        )
