"""The admin theme's classes. Import them only from here, so that changing the theme changes only this file."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest
from django.utils.timezone import make_aware

from registry.errors import RoundhouseError
from registry.kit.actors import Actor

if TYPE_CHECKING:  # the theme's classes have no type hints; the Django classes that they extend do
    from django.contrib.admin import DateFieldListFilter as PeriodFilter
    from django.contrib.admin import ModelAdmin, TabularInline, display
    from django.contrib.admin import SimpleListFilter as DropdownFilter
    from django.contrib.admin import SimpleListFilter as TextFilter
    from django.contrib.admin.views.main import ChangeList
    from django.contrib.auth.forms import AdminPasswordChangeForm, UserCreationForm
    from django.forms import (
        CheckboxSelectMultiple,
        FileInput,
        ModelForm,
        NumberInput,
        SelectMultiple,
        TextInput,
    )
else:
    from django import forms as _forms
    from unfold import admin as _unfold
    from unfold import forms as _unfold_forms
    from unfold.contrib.filters.admin import DropdownFilter, TextFilter
    from unfold.contrib.filters.admin import RangeDateTimeFilter as _RangeDateTimeFilter
    from unfold.decorators import display
    from unfold.views import ChangeList
    from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget as CheckboxSelectMultiple
    from unfold.widgets import UnfoldAdminDecimalFieldWidget as NumberInput

    # Its script writes the chosen file's name into a text field nearby; with another widget it would overwrite a form field.
    from unfold.widgets import UnfoldAdminFileFieldWidget as FileInput
    from unfold.widgets import UnfoldAdminSelect2MultipleWidget as SelectMultiple
    from unfold.widgets import UnfoldAdminTextInputWidget as TextInput

    class _Generic:
        def __class_getitem__(cls, _row: Any) -> type:
            return cls

    class ModelForm(_Generic, _forms.ModelForm):
        pass

    class UserCreationForm(_Generic, _unfold_forms.UserCreationForm):
        pass

    class AdminPasswordChangeForm(_Generic, _unfold_forms.AdminPasswordChangeForm):
        pass

    class ModelAdmin(_Generic, _unfold.ModelAdmin):
        def changeform_view(self, request, *args, **kwargs):
            """Show a service's error in the form and keep the input; the transaction has already been rolled back."""
            try:
                return super().changeform_view(request, *args, **kwargs)
            except RoundhouseError as error:
                if request.method != "POST":
                    raise
                request.refusal = str(error)
                return super().changeform_view(request, *args, **kwargs)

        def get_form(self, request, *args, **kwargs):
            """Return the form; after a refusal, it shows the service's message as an error."""
            form = super().get_form(request, *args, **kwargs)
            refusal = getattr(request, "refusal", None)
            if refusal is None:
                return form

            class RefusedForm(form):
                def clean(self):
                    cleaned = super().clean()
                    self.add_error(None, refusal)
                    return cleaned

            return RefusedForm

    class PeriodFilter(_RangeDateTimeFilter):
        """From and to, each a day with an optional time. The theme's own filter compares with naive times."""

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            if self.title == "at":  # the heading is "By …"
                self.title = "time"

        def queryset(self, request, queryset):
            moments = period_of(self.parameter_name, self.used_parameters)
            for moment, lookup in zip(moments, ("gte", "lte"), strict=True):
                if moment is not None:
                    queryset = queryset.filter(**{f"{self.parameter_name}__{lookup}": moment})
            return queryset

    class TabularInline(_Generic, _unfold.TabularInline):
        pass


def period_of(field: str, parameters: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
    """From when to when a PeriodFilter's parameters are; None for an end that is missing or no date."""

    def moment(end: str, default: str) -> datetime | None:
        day, time = (parameters.get(f"{field}_{end}_{part}") for part in (0, 1))
        try:
            return make_aware(datetime.fromisoformat(f"{day} {time or default}"))
        except ValueError:
            return None

    return moment("from", "00:00"), moment("to", "23:59:59.999999")


def actor(request: HttpRequest) -> Actor:
    """Return the request's actor, set by the access room's middleware."""
    by: Actor = request.actor  # type: ignore[attr-defined]
    return by


__all__ = [
    "AdminPasswordChangeForm",
    "ChangeList",
    "CheckboxSelectMultiple",
    "DropdownFilter",
    "FileInput",
    "ModelAdmin",
    "ModelForm",
    "NumberInput",
    "PeriodFilter",
    "SelectMultiple",
    "TabularInline",
    "TextFilter",
    "TextInput",
    "UserCreationForm",
    "actor",
    "display",
    "period_of",
]
