"""What a page of a verb is made of: a form that asks why, and a service."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms

from registry.kit.actors import Actor
from registry.kit.admin.theme import TextInput
from registry.kit.text import MAX_REASON


class ReasonForm(forms.Form):
    """Asks why. `foretold` says what the verb will do, in numbers."""

    fields_template = "admin/registry/verb_fields.html"
    is_destructive = False

    reason = forms.CharField(max_length=MAX_REASON, widget=TextInput(), help_text="Kept with the change.")

    def __init__(self, *args: Any, row: Any, **kwargs: Any) -> None:
        self.row = row
        super().__init__(*args, **kwargs)

    @property
    def preview(self) -> list[str]:
        return []


@dataclass(frozen=True, slots=True)
class Verb:
    """`fits` says whether the row's state allows it; the service decides again.

    Where `why_not` has something to say, the verb's page says that and has no form.
    """

    name: str
    title: str
    right: str
    form: type[ReasonForm]
    run: Callable[[Any, Any, Actor], str]  # row, valid form, actor -> what to tell
    fits: Callable[[Any], bool]
    warning: str = ""
    why_not: Callable[[Any], str] = lambda _row: ""
