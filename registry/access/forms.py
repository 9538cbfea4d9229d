"""Forms of access's admin pages: they check what a person typed; what it may do is the services' matter."""

from typing import Any

from django import forms
from django.contrib.auth.models import User

from registry.access import services
from registry.access.limits import LIMIT_COLUMNS
from registry.access.models import ApiKey, KeyScope, ObjectScope
from registry.access.policies import Role
from registry.access.services import Person
from registry.kit.actors import Actor
from registry.kit.admin.theme import (
    AdminPasswordChangeForm,
    CheckboxSelectMultiple,
    ModelForm,
    SelectMultiple,
    UserCreationForm,
)
from registry.kit.scope import every_model


class PersonForm(ModelForm[User]):
    """Who somebody is, which roles they have and where these hold."""

    roles = forms.MultipleChoiceField(
        choices=[(role.value, role.value) for role in Role], required=False, widget=CheckboxSelectMultiple
    )
    is_limited = forms.BooleanField(
        required=False,
        label="Only for some Models",
        help_text="The roles hold for the Models below and no others.",
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
        given = super().clean() or self.cleaned_data
        if given.get("models") and not given.get("is_limited"):
            self.add_error("is_limited", "Tick this too, or choose no Models.")
        if given.get("is_limited") and Role.ADMIN in given.get("roles", []):
            self.add_error(
                "is_limited", "People, keys and settings belong to no Model: an admin cannot be limited."
            )
        return given

    @property
    def person(self) -> Person:
        given = self.cleaned_data
        return Person(
            username=given["username"],
            roles=given["roles"],
            first_name=given.get("first_name", ""),
            last_name=given.get("last_name", ""),
            email=given.get("email", ""),
            is_active=given.get("is_active", True),
            models=[model.pk for model in given["models"]] if given["is_limited"] else None,
        )


class NewPersonForm(PersonForm, UserCreationForm[User]):
    class Meta(PersonForm.Meta):
        fields = ["username", "first_name", "last_name", "email"]


class PasswordForm(AdminPasswordChangeForm[User]):
    """Sets another's password through the service."""

    def __init__(self, user: User, *args: Any, by: Actor, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self._by = by

    def save(self, commit: bool = True) -> User:
        given, user = self.cleaned_data, self.user
        password = given["password1"] if given["set_usable_password"] else None
        services.set_password(user=user, password=password, by=self._by)
        return user


class KeyForm(ModelForm[ApiKey]):
    """What a key may do, where, and until when."""

    scopes = forms.MultipleChoiceField(choices=KeyScope.choices, widget=CheckboxSelectMultiple)

    class Meta:
        model = ApiKey
        fields = ["name", "tenant", "scopes", "all_models", "only_models", "expires_at", *LIMIT_COLUMNS]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if given.get("all_models") == bool(given.get("only_models")):
            self.add_error("only_models", "Choose some Models, or all of them, not both.")
        return given

    @property
    def terms(self) -> dict[str, Any]:
        given = self.cleaned_data
        return {
            "name": given["name"],
            "scopes": given["scopes"],
            "models": [] if given["all_models"] else [model.pk for model in given["only_models"]],
            "expires_at": given["expires_at"],
            "limits": self.instance.limits,
        }
