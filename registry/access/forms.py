"""Forms of the admin pages for people and keys. They check the input; services check the rights."""

from typing import Any

from django import forms
from django.contrib.auth.models import User

from registry.access import services
from registry.access.limits import LIMIT_COLUMNS
from registry.access.models import ApiKey, ObjectScope, Tenant
from registry.access.policies import Role, key_scopes, role_names
from registry.access.services import Person
from registry.kit.actors import Actor, every_model
from registry.kit.admin.theme import (
    AdminPasswordChangeForm,
    CheckboxSelectMultiple,
    ModelForm,
    SelectMultiple,
    UserCreationForm,
)


class PersonForm(ModelForm[User]):
    """A person's name, roles, and the Models that the roles apply to."""

    roles = forms.MultipleChoiceField(
        choices=lambda: [(role, role) for role in role_names()], required=False, widget=CheckboxSelectMultiple
    )
    is_limited = forms.BooleanField(
        required=False,
        label="Only some Models",
        help_text="The roles apply only to the Models below.",
    )
    models = forms.ModelMultipleChoiceField(
        queryset=every_model(), required=False, label="Models", widget=SelectMultiple
    )

    class Meta:
        model = User
        fields = ["username", "first_name", "last_name", "email", "is_active"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            reach = ObjectScope.objects.filter(user=self.instance).first()
            self.initial["roles"] = list(self.instance.groups.values_list("name", flat=True))
            self.initial["is_limited"] = reach is not None
            self.initial["models"] = reach.models.all() if reach else []

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("models") and not data.get("is_limited"):
            self.add_error("is_limited", "Tick this too, or remove the Models.")
        if data.get("is_limited") and Role.ADMIN in data.get("roles", []):
            self.add_error(
                "is_limited",
                "An admin cannot be limited: people, keys and settings do not belong to a Model.",
            )
        return data

    @property
    def person(self) -> Person:
        data = self.cleaned_data
        return Person(
            username=data["username"],
            roles=data["roles"],
            first_name=data.get("first_name", ""),
            last_name=data.get("last_name", ""),
            email=data.get("email", ""),
            is_active=data.get("is_active", True),
            models=[model.pk for model in data["models"]] if data["is_limited"] else None,
        )


class NewPersonForm(PersonForm, UserCreationForm[User]):
    class Meta(PersonForm.Meta):
        fields = ["username", "first_name", "last_name", "email"]


class PasswordForm(AdminPasswordChangeForm[User]):
    """Sets another person's password through the service."""

    def __init__(self, user: User, *args: Any, by: Actor, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self._by = by

    def save(self, commit: bool = True) -> User:
        data, user = self.cleaned_data, self.user
        password = data["password1"] if data["set_usable_password"] else None
        services.set_password(user=user, password=password, by=self._by)
        return user


class KeyForm(ModelForm[ApiKey]):
    """What a key may do, with which Models, and until when."""

    scopes = forms.MultipleChoiceField(
        choices=lambda: list(key_scopes().items()), widget=CheckboxSelectMultiple
    )

    class Meta:
        model = ApiKey
        fields = ["name", "tenant", "scopes", "all_models", "only_models", "expires_at", *LIMIT_COLUMNS]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        tenants = Tenant.objects.order_by("pk")[:2]
        if len(tenants) == 1 and "tenant" in self.fields:
            self.fields["tenant"].initial = tenants[0]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("all_models") == bool(data.get("only_models")):
            self.add_error("only_models", "Choose some Models or all of them, not both.")
        return data

    @property
    def terms(self) -> dict[str, Any]:
        data = self.cleaned_data
        return {
            "name": data["name"],
            "scopes": data["scopes"],
            "models": [] if data["all_models"] else [model.pk for model in data["only_models"]],
            "expires_at": data["expires_at"],
            "limits": self.instance.limits,
        }
