"""Forms of guidelines, queues, actions and reviewers. They check the input; services check the rights."""

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms

from moderation.cases.models import CaseSource, Guideline, ReviewQueue
from moderation.cases.queues import QueueSettings
from moderation.review.actions import RESERVED_KEYS, ActionSettings
from moderation.review.guidelines import GuidelineSettings, codes_to_choose
from moderation.review.models import ReviewAction, Reviewer
from moderation.review.reviewers import people_who_review
from moderation.review.statements import StatementCategory
from registry.access.policies import role_names
from registry.kit.admin.theme import CheckboxSelectMultiple, ModelForm, TextInput

_SELECT = {"class": "rh-input"}
_BY_COMMAS = "By their short names, separated by commas, such as en, es. None: all."


class LanguagesField(forms.CharField):
    """Languages, separated by commas; services check them."""

    widget = TextInput

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]
        text = super().to_python(value) or ""
        return [word.strip().lower() for word in text.split(",") if word.strip()]


class SentencesField(forms.CharField):
    """A sentence for authors in each language, one on a line: `en: Insults are not allowed here.`"""

    widget = forms.Textarea(attrs={"class": "rh-input", "rows": 4})

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return "\n".join(f"{language}: {sentence}" for language, sentence in value.items())
        return value

    def to_python(self, value: Any) -> dict[str, str]:  # type: ignore[override]
        sentences: dict[str, str] = {}
        for number, line in enumerate((super().to_python(value) or "").splitlines(), start=1):
            if not line.strip():
                continue
            language, colon, sentence = (part.strip() for part in line.partition(":"))
            if not (colon and language and sentence):
                raise forms.ValidationError(
                    f"Line {number} needs a language, a colon and a sentence, such as “en: Insults are not allowed here.”"
                )
            if language.lower() in sentences:
                raise forms.ValidationError(f"Line {number} has another sentence in {language}.")
            sentences[language.lower()] = sentence
        return sentences

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.prepare_value(initial) != data)


class GuidelineForm(ModelForm[Guideline]):
    category = forms.ChoiceField(
        label="Category of statements",
        required=False,
        widget=forms.Select(attrs=_SELECT),
        help_text="Of statements of reasons (Digital Services Act).",
    )
    notices = SentencesField(
        label="Sentences for authors",
        required=False,
        help_text="One language on a line, such as “en: Insults are not allowed here.” Authors read theirs, else English.",
    )

    class Meta:
        model = Guideline
        fields = [
            "code", "title", "guidance", "harm", "hours", "is_restricted", "category", "is_illegal", "ground", "notices",
        ]  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["category"].choices = [  # type: ignore[attr-defined]
            ("", "None: another breach of the terms"), *((one.value, one.label) for one in StatementCategory),
        ]  # fmt: skip
        if "code" in self.fields:
            self.fields["code"].help_text = "As policies name it, such as hate_speech. It stays."

    @property
    def values(self) -> GuidelineSettings:
        data = self.cleaned_data
        return GuidelineSettings(**{name: data[name] for name in GuidelineSettings.__slots__})


class QueueForm(ModelForm[ReviewQueue]):
    sources = forms.MultipleChoiceField(
        required=False,
        choices=[(source.value, source.label) for source in CaseSource],
        widget=CheckboxSelectMultiple,
        help_text="None: all but detector failures, whose cases end by themselves when the detector is back.",
    )
    languages = LanguagesField(required=False, help_text=_BY_COMMAS)
    codes = forms.MultipleChoiceField(
        label="Violations", required=False, widget=CheckboxSelectMultiple, help_text="None: all."
    )

    class Meta:
        model = ReviewQueue
        fields = [
            "name", "title", "sources", "codes", "least_harm", "languages", "tenants", "takes_escalated", "place",
        ]  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["codes"].choices = codes_to_choose(self.instance.codes)  # type: ignore[attr-defined]
        self.fields["least_harm"].label = "From this harm on"

    @property
    def values(self) -> QueueSettings:
        data = self.cleaned_data
        return QueueSettings(**{name: data[name] for name in QueueSettings.__slots__})


class ActionForm(ModelForm[ReviewAction]):
    roles = forms.MultipleChoiceField(
        label="Who may take it",
        required=False,
        choices=lambda: [(role, role) for role in role_names()],
        widget=CheckboxSelectMultiple,
        help_text="None: every reviewer.",
    )

    class Meta:
        model = ReviewAction
        fields = [
            "name", "title", "effect", "key", "roles", "subscription", "strike_weight", "strike_days", "proposed_at",
            "place",
        ]  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "key" in self.fields:
            taken = ", ".join(f"{key} ({what})" for key, what in RESERVED_KEYS.items())
            self.fields["key"].help_text = f"One letter that gives this verdict; empty: none. Not {taken}."
        if "name" in self.fields:
            self.fields["name"].help_text = "As webhooks name it, such as remove. It stays, like the effect."

    @property
    def values(self) -> ActionSettings:
        data = self.cleaned_data
        return ActionSettings(**{name: data[name] for name in ActionSettings.__slots__})


class ReviewerForm(ModelForm[Reviewer]):
    languages = LanguagesField(required=False, help_text=f"That they read. {_BY_COMMAS}")

    class Meta:
        model = Reviewer
        fields = ["user", "minutes_a_day", "severe_a_day", "languages"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "user" in self.fields:
            known = set(Reviewer.objects.values_list("user", flat=True))
            user = self.fields["user"]
            assert isinstance(user, forms.ModelChoiceField)  # noqa: S101  for the type checker
            user.choices = _named(person for person in people_who_review() if person.pk not in known)
            user.help_text = "Everybody who reviews and has no budget of their own yet."

    @property
    def values(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in ("minutes_a_day", "severe_a_day", "languages")}


def _named(people: Iterable[Any]) -> list[tuple[Any, str]]:
    return [("", "Choose…"), *((person.pk, person.get_full_name() or person.username) for person in people)]
