from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string

from registry.kit.admin.columns import Tone, badge, moment_column, state_column, text_column
from registry.kit.admin.pages import ScopedPage, exact_filter
from registry.kit.admin.theme import ModelAdmin, display
from registry.traffic.models import Hold, Split
from registry.traffic.selectors import arms_of, shadows_of, with_arms
from registry.traffic.transitions import Status

_TONES = {Status.CURRENT: Tone.GOOD, Status.WAITING: Tone.BUSY, Status.EXPIRED: Tone.WARN}
_KINDS = {Hold.Kind.STOPPED: Tone.BAD, Hold.Kind.FROZEN: Tone.WARN}


@admin.register(Split)
class SplitPage(ScopedPage, ModelAdmin[Split]):
    empty_text = "A split decides which versions get which share of the traffic. Set one on a Model’s page."
    list_display = [
        "__str__", "arms", state_column("status", _TONES), text_column("reason", "reason"), "made_by",
        moment_column("from_at", "current from"), moment_column("to_at", "until"),
    ]  # fmt: skip
    list_select_related = ["model"]
    list_filter = ["status", exact_filter("model__slug", "Model"), exact_filter("made_by", "made by")]
    list_filter_submit = True
    search_fields = ["model__slug", "reason"]
    fields = readonly_fields = (
        "model",
        "number",
        "arms",
        "shadows",
        "status",
        "reason",
        "made_by",
        "created_at",
        "from_at",
        "to_at",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Split]:
        return with_arms(super().get_queryset(request))

    @display(description="arms")
    def arms(self, split: Split) -> str:
        return render_to_string("admin/registry/split_bar.html", {"arms": arms_of(split)})

    @display(description="shadows")
    def shadows(self, split: Split) -> str:
        return (
            ", ".join(f"v{number} {share / 100:g} %" for number, share in shadows_of(split).items()) or "none"
        )


@admin.register(Hold)
class HoldPage(ScopedPage, ModelAdmin[Hold]):
    empty_text = (
        "On a Model’s page, you can stop it if it gives wrong answers, or freeze it if it must not change."
    )
    list_display = [
        "model", state_column("kind", _KINDS, "kind"), "state", text_column("text", "text"), "begun_by",
        moment_column("from_at", "from"), "ended_by", moment_column("to_at", "until"),
    ]  # fmt: skip
    list_select_related = ["model"]
    list_filter = ["kind", exact_filter("model__slug", "Model")]
    list_filter_submit = True
    search_fields = ["model__slug", "text"]
    fields = readonly_fields = ("model", "kind", "text", "begun_by", "from_at", "ended_by", "to_at")

    @display(description="state", ordering="to_at")
    def state(self, hold: Hold) -> str:
        return badge("in force", Tone.BUSY) if hold.to_at is None else badge("ended", Tone.IDLE)
