"""What leads set up: guidelines on violations, queues, and actions."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from moderation.cases.models import SEVERE, CaseSource, Guideline, Harm, ReviewQueue
from moderation.cases.queues import change_queue, count_by_queue, create_queue, remove_queue
from moderation.cases.selectors import visible_cases, waiting_cases
from moderation.console.review_forms import ActionForm, GuidelineForm, QueueForm
from moderation.review.actions import change_action, create_action, retire_action
from moderation.review.guidelines import (
    change_guideline,
    create_guideline,
    remove_guideline,
    undescribed_codes,
)
from moderation.review.models import Effect, ReviewAction
from moderation.review.statements import StatementCategory
from moderation.rights import ModerationRight
from registry.errors import RoundhouseError
from registry.kit.actors import Actor
from registry.kit.admin.columns import Tone, badge, number_column
from registry.kit.admin.facts import ago, when
from registry.kit.admin.pages import EditablePage
from registry.kit.admin.theme import ModelAdmin, actor, display
from registry.kit.admin.verbs import ReasonForm, Verb, VerbGroup, VerbPages

_NO_MODEL = 0  # these rows belong to no Model


class SetUpByLeads(EditablePage):
    """Whoever may view the list may read its rows; leads change them, through services."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return ModerationRight.LEAD in actor(request).rights

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return ModerationRight.LEAD in actor(request).rights

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Do nothing: the service has written everything."""

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context |= {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().render_change_form(request, context, *args, **kwargs)


class RemovableRows:
    """Rows that leads delete, through a service."""

    opts: Any

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return ModerationRight.LEAD in actor(request).rights

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Nothing else is deleted with them."""
        return [str(row) for row in objs], {}, set(), []

    def remove(self, row: Any, by: Actor) -> None:
        raise NotImplementedError

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.remove(obj, actor(request))

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Each is deleted on its own page, so that it is clear which one could not be."""
        actions: dict[str, Any] = super().get_actions(request)  # type: ignore[misc]
        actions.pop("delete_selected", None)
        return actions

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        try:
            page: HttpResponse = super().delete_view(request, object_id, extra_context)  # type: ignore[misc]
        except RoundhouseError as error:
            messages.error(request, str(error))
            return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        return page


@admin.register(Guideline)
class GuidelinePage(RemovableRows, SetUpByLeads, ModelAdmin[Guideline]):
    empty_text = (
        "A guideline says what a violation code means: how to recognise it, how much harm it does, by when somebody must "
        "look, and what authors are told."
    )
    right = ModerationRight.REVIEW
    form = GuidelineForm
    list_display = [
        "title",
        "code_shown",
        "harm_shown",
        number_column("hours", "deadline (hours)"),
        "marks",
        "statement",
    ]
    list_filter = ["harm", "is_restricted", "is_illegal"]
    search_fields = ["code", "title"]
    list_before_template = "admin/moderation/undescribed_codes.html"
    fieldsets = (
        (None, {"fields": ("code", "title", "guidance")}),
        ("How urgent it is", {"fields": ("harm", "hours", "is_restricted")}),
        ("What is said about it", {"fields": ("category", "is_illegal", "ground", "notices")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Guideline | None = None) -> list[str]:
        return ["code"] if obj else []

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        codes = undescribed_codes() if self.has_add_permission(request) else []
        return super().changelist_view(request, {**(extra_context or {}), "undescribed_codes": codes})

    def save_model(self, request: HttpRequest, obj: Guideline, form: Any, change: bool) -> None:
        if change:
            change_guideline(guideline=obj, values=form.values, by=actor(request))
        else:
            obj.pk = create_guideline(code=obj.code, values=form.values, by=actor(request)).pk

    def remove(self, row: Guideline, by: Actor) -> None:
        remove_guideline(guideline=row, by=by)

    @display(description="violation", ordering="code")
    def code_shown(self, guideline: Guideline) -> SafeString:
        return format_html('<span class="rh-chip">{}</span>', guideline.code)

    @display(description="harm", ordering="harm")
    def harm_shown(self, guideline: Guideline) -> SafeString:
        harm = Harm(guideline.harm)
        return badge(harm.label.lower(), Tone.BAD if harm >= SEVERE else Tone.IDLE)

    @display(description="marks")
    def marks(self, guideline: Guideline) -> SafeString | str:
        marks = {"restricted": guideline.is_restricted, "illegal": guideline.is_illegal}
        shown = [badge(word, Tone.WARN) for word, applies in marks.items() if applies]
        return format_html("<span>{}</span>", SafeString(" ".join(shown))) if shown else "–"

    @display(description="category of statements", ordering="category")
    def statement(self, guideline: Guideline) -> str:
        return StatementCategory(guideline.category).label if guideline.category else "–"


@admin.register(ReviewQueue)
class QueuePage(RemovableRows, SetUpByLeads, ModelAdmin[ReviewQueue]):
    empty_text = (
        "A queue is a choice of waiting cases that are taken together. Without queues, cases wait together."
    )
    right = ModerationRight.LEAD
    form = QueueForm
    fields = (*QueueForm.Meta.fields,)
    list_display = ["title", "name", "takes", "number_waiting", "number_overdue", "oldest", "place"]
    search_fields = ["name", "title"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReviewQueue]:
        return super().get_queryset(request).prefetch_related("tenants")

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist = super().get_changelist_instance(request)
        cases = visible_cases(waiting_cases(), actor(request))
        counts = dict(count_by_queue(cases, timezone.now()))
        changelist.result_list = listed = list(changelist.result_list)
        for queue in listed:
            queue.counted = counts[queue]
        return changelist

    def get_readonly_fields(self, request: HttpRequest, obj: ReviewQueue | None = None) -> list[str]:
        return ["name"] if obj else []

    def save_model(self, request: HttpRequest, obj: ReviewQueue, form: Any, change: bool) -> None:
        if change:
            change_queue(queue=obj, values=form.values, by=actor(request))
        else:
            obj.pk = create_queue(name=obj.name, values=form.values, by=actor(request)).pk

    def remove(self, row: ReviewQueue, by: Actor) -> None:
        remove_queue(queue=row, by=by)

    @display(description="takes")
    def takes(self, queue: ReviewQueue) -> str:
        return queue_in_words(queue)

    @display(description="waiting")
    def number_waiting(self, queue: Any) -> str:
        return f"{queue.counted.waiting:,}"

    @display(description="overdue")
    def number_overdue(self, queue: Any) -> SafeString | str:
        return badge(f"{queue.counted.overdue:,}", Tone.BAD) if queue.counted.overdue else "0"

    @display(description="oldest, opened")
    def oldest(self, queue: Any) -> SafeString | str:
        oldest = queue.counted.oldest_at
        return format_html("<span>{} <small>{}</small></span>", ago(oldest), when(oldest)) if oldest else "–"


def queue_in_words(queue: ReviewQueue) -> str:
    """Which cases the queue has, such as `reports, high harm and more, in en`."""
    parts = [", ".join(CaseSource(source).label for source in queue.sources) or "all but detector failures"]
    if queue.codes:
        parts.append(", ".join(queue.codes))
    if queue.least_harm > Harm.LOW:
        more = " and more" if queue.least_harm < Harm.CRITICAL else ""
        parts.append(f"{Harm(queue.least_harm).label.lower()} harm{more}")
    if queue.languages:
        parts.append(f"in {', '.join(queue.languages)}")
    if tenants := [str(tenant) for tenant in queue.tenants.all()]:
        parts.append(f"of {', '.join(tenants)}")
    if queue.takes_escalated:
        parts.append("escalated ones, for leads")
    return "; ".join(parts)


def _retire(action: ReviewAction, form: ReasonForm, by: Actor) -> str:
    retire_action(action=action, reason=form.cleaned_data["reason"], by=by)
    return f"“{action}” is retired. Verdicts that were given with it stay."


@admin.register(ReviewAction)
class ActionPage(VerbPages, SetUpByLeads, ModelAdmin[ReviewAction]):
    empty_text = "An action is what a reviewer can decide, such as Allow or Remove."
    right = ModerationRight.LEAD
    form = ActionForm
    verbs = (
        Verb(
            "retire", "Retire", ModerationRight.LEAD, ReasonForm, _retire, fits=lambda action: not action.is_retired,
            group=VerbGroup.MORE, warning="Reviewers can no longer use it, and its key is free. This cannot be undone.",
        ),
    )  # fmt: skip
    list_display = [
        "title", "name", "effect_shown", "key_shown", "who_may", "strikes", "callback", "place", "state",
    ]  # fmt: skip
    list_select_related = ["subscription"]
    list_filter = ["is_retired", "effect"]
    change_form_outer_before_template = "admin/moderation/action_buttons.html"
    fieldsets = (
        (None, {"fields": ("name", "title", "effect")}),
        ("Who takes it, and how", {"fields": ("key", "roles", "place")}),
        ("What follows", {"fields": ("subscription", "strike_weight", "strike_days", "proposed_at")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReviewAction]:
        return ReviewAction.objects.all() if self.has_right(request) else ReviewAction.objects.none()

    @staticmethod
    def model_id_of(row: Any) -> int:
        return _NO_MODEL

    def has_change_permission(self, request: HttpRequest, obj: ReviewAction | None = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or not obj.is_retired)

    def get_readonly_fields(self, request: HttpRequest, obj: ReviewAction | None = None) -> list[str]:
        return ["name", "effect"] if obj else []

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        buttons = self.buttons(request, row) if row is not None else []
        return super().change_view(
            request, object_id, form_url, {**(extra_context or {}), "buttons": buttons}
        )

    def save_model(self, request: HttpRequest, obj: ReviewAction, form: Any, change: bool) -> None:
        if change:
            change_action(action=obj, values=form.values, by=actor(request))
        else:
            effect = Effect(obj.effect)
            obj.pk = create_action(name=obj.name, effect=effect, values=form.values, by=actor(request)).pk

    @display(description="effect", ordering="effect")
    def effect_shown(self, action: ReviewAction) -> str:
        return action.get_effect_display()

    @display(description="key", ordering="key")
    def key_shown(self, action: ReviewAction) -> SafeString | str:
        return format_html("<kbd>{}</kbd>", action.key) if action.key else "–"

    @display(description="who may take it")
    def who_may(self, action: ReviewAction) -> str:
        if action.is_on_account:
            return "leads, when it is proposed"
        return ", ".join(action.roles) or "every reviewer"

    @display(description="strikes")
    def strikes(self, action: ReviewAction) -> str:
        if action.is_on_account:
            return (
                f"proposed at {action.proposed_at:g}" if action.proposed_at is not None else "never proposed"
            )
        return f"{action.strike_weight:g} for {action.strike_days} days" if action.strike_weight else "none"

    @display(description="callback")
    def callback(self, action: ReviewAction) -> str:
        return str(action.subscription) if action.subscription is not None else "–"

    @display(description="state", ordering="is_retired")
    def state(self, action: ReviewAction) -> SafeString:
        return badge("retired", Tone.IDLE) if action.is_retired else badge("in use", Tone.GOOD)
