from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string

from registry.kit.admin.pages import ScopedPage
from registry.kit.admin.theme import ModelAdmin, display
from registry.traffic.models import Hold, Split
from registry.traffic.selectors import arms_of, shadows_of, with_arms


@admin.register(Split)
class SplitPage(ScopedPage, ModelAdmin[Split]):
    empty_text = "A split decides which versions get which share of the traffic. Set one on a Model’s page."
    list_display = ["__str__", "arms", "status", "reason", "made_by", "from_at", "to_at"]
    list_select_related = ["model"]
    list_filter = ["status"]
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
    list_display = ["model", "kind", "text", "begun_by", "from_at", "ended_by", "to_at"]
    list_select_related = ["model"]
    list_filter = ["kind"]
    search_fields = ["model__slug", "text"]
    fields = readonly_fields = ("model", "kind", "text", "begun_by", "from_at", "ended_by", "to_at")
