from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString

from registry.access.limits import LIMIT_COLUMNS
from registry.access.policies import Right
from registry.catalogue import services
from registry.catalogue.models import Model, Version
from registry.catalogue.task_kinds import TASK_KINDS
from registry.console.checks import check_again, is_being_checked, show_check
from registry.console.comparison import compare_page
from registry.console.golden_set import put_golden
from registry.console.headers import model_header, state_of_version, version_header, with_live_model
from registry.console.holds import HOLD_VERBS
from registry.console.model_panels import show_waiting
from registry.console.requests import RULE_VERBS
from registry.console.rollback import ROLL_BACK
from registry.console.splits import RESHUFFLE, SPLIT_VERBS
from registry.console.version_panels import download
from registry.console.version_verbs import VERSION_VERBS
from registry.kit.admin.columns import badge, moment_column, size_column, text_column
from registry.kit.admin.pages import ScopedPage, exact_filter
from registry.kit.admin.panels import PanelPage
from registry.kit.admin.tabs import TabbedPage
from registry.kit.admin.theme import ModelAdmin, ModelForm, TextInput, actor, display
from registry.kit.admin.verbs import VerbPages
from registry.kit.text import MAX_REASON
from registry.traffic.selectors import live_arms, open_holds, with_live_arms

MODEL_VERBS = (*SPLIT_VERBS, ROLL_BACK, *HOLD_VERBS, RESHUFFLE, *RULE_VERBS)


class RowViews(ScopedPage):
    """Adds views under a row's URL, keyed by their URL's last part. Each is called with the request and the row."""

    row_views: ClassVar[Mapping[str, Callable[[HttpRequest, Any], HttpResponse]]]
    list_select_related: ClassVar[Any]
    opts: Any
    admin_site: admin.AdminSite

    def get_urls(self) -> list[URLPattern]:
        pages = [
            path(
                f"<int:pk>/{name}/",
                self.admin_site.admin_view(partial(self._show_row, view=view)),
                name=f"registry_{self.opts.model_name}_{name.replace('-', '_')}",
            )
            for name, view in self.row_views.items()
        ]
        return [*pages, *super().get_urls()]  # type: ignore[misc]

    def _show_row(
        self, request: HttpRequest, pk: int, view: Callable[[HttpRequest, Any], HttpResponse]
    ) -> HttpResponse:
        row = self.get_queryset(request).select_related(*self.list_select_related).filter(pk=pk).first()
        if row is None:
            raise Http404
        return view(request, row)


class ModelEditForm(ModelForm[Model]):
    """The editable fields of a Model. Tags are entered as one text, separated by commas."""

    tag_words = forms.CharField(
        label="Tags", required=False, widget=TextInput(), help_text="Separated by commas."
    )

    reason = forms.CharField(
        max_length=MAX_REASON,
        required=False,
        widget=TextInput(),
        help_text="Required if you change the pool.",
    )

    class Meta:
        model = Model
        fields = ["title", "notes", "owner", "key_source", "key_field", "bake_minutes", "pool", *LIMIT_COLUMNS]  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["tag_words"] = ", ".join(tag.name for tag in self.instance.tags.all())

    @property
    def changes(self) -> services.ModelChanges:
        changed, special = set(self.changed_data), {"tag_words", "reason", *LIMIT_COLUMNS}
        changes = {name: self.cleaned_data[name] for name in changed - special}
        if changed & {*LIMIT_COLUMNS}:
            changes["limits"] = self.instance.limits
        if "tag_words" in changed:
            words = self.cleaned_data["tag_words"].split(",")
            changes["tags"] = [word.strip() for word in words if word.strip()]
        return services.ModelChanges(**changes)  # type: ignore[typeddict-item,no-any-return]  # these fields

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if (cleaned.get("key_source") == "field") != bool(cleaned.get("key_field")):
            self.add_error(
                "key_field", "Name a field if, and only if, the routing key is a field of the request."
            )
        if "pool" in self.changed_data:
            if not cleaned.get("reason"):
                self.add_error("reason", "Give a reason for moving to another pool.")
            if (why := services.why_not_move(self.instance)) is not None:
                self.add_error("pool", why)
        return cleaned


@admin.register(Model)
class ModelPage(RowViews, VerbPages, TabbedPage, ModelAdmin[Model]):
    empty_text = "Upload an ONNX file to create the first Model."
    scope = "pk"
    verbs = MODEL_VERBS
    row_views = {"waiting": show_waiting, "golden-set": put_golden}
    form = ModelEditForm
    list_display = [
        "slug", text_column("title", "title", longest=60), "task_word", "live", "limits", "owner",
        moment_column("created_at", "created"),
    ]  # fmt: skip
    list_select_related = ["owner"]
    list_filter = ["task", "needs_approval"]
    search_fields = ["slug", "title", "tags__name"]
    fields = [
        "slug", "title", "task", "notes", "tag_words", "owner", "key_source", "key_field", "bake_minutes",
        "pool", *LIMIT_COLUMNS, "reason", "created_at",
    ]  # fmt: skip
    readonly_fields = ["slug", "task", "created_at"]
    autocomplete_fields = ["owner"]
    panel_page = PanelPage.MODEL
    header_template = "admin/registry/model_header.html"
    form_tab = "settings"
    change_form_outer_before_template = "admin/registry/tabbed_top.html"

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        by = actor(request)
        return by.may(Right.WRITE, model_id=obj.pk) if obj is not None else Right.WRITE in by.rights

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        fields = super().get_fields(request, obj)
        return fields if self.has_change_permission(request, obj) else [f for f in fields if f != "tag_words"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        return with_live_arms(super().get_queryset(request))

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        if form.changes:
            reason = form.cleaned_data["reason"]
            services.edit_model(model=obj, changes=form.changes, reason=reason, by=actor(request))

    @display(description="task", ordering="task")
    def task_word(self, model: Model) -> SafeString:
        return format_html(
            '<span title="{}">{}</span>',
            TASK_KINDS[model.task].title if model.task in TASK_KINDS else "",
            model.task,
        )

    @display(description="live now")
    def live(self, model: Model) -> str:
        context = {"arms": live_arms(model), "holds": open_holds(model)}
        return render_to_string("admin/registry/live.html", context)

    def header(self, request: HttpRequest, model: Model) -> dict[str, Any]:
        return model_header(model, self.verb_buttons(request, model))

    def response_post_save_change(self, request: HttpRequest, obj: Model) -> HttpResponseRedirect:
        """Stay on the page."""
        return redirect(f"{self.address_of(obj)}?tab={self.form_tab}")


@admin.register(Version)
class VersionPage(RowViews, VerbPages, TabbedPage, ModelAdmin[Version]):
    empty_text = "Upload an ONNX file to create the first version. It can go live once its checks pass."
    verbs = VERSION_VERBS
    row_views = {
        "checks": show_check,
        "check-again": check_again,
        "compare": compare_page,
        "download": download,
    }
    list_display = [
        "__str__", "state", size_column("artifact__size_bytes"), text_column("notes", "notes", longest=50), "made_by",
        moment_column("created_at", "created"),
    ]  # fmt: skip
    ordering = ["-id"]
    list_select_related = ["model", "artifact"]
    list_filter = ["status", exact_filter("model__slug", "Model"), exact_filter("made_by", "made by")]
    list_filter_submit = True
    search_fields = ["model__slug", "artifact__sha256"]
    panel_page = PanelPage.VERSION
    header_template = "admin/registry/version_header.html"

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Version | None:
        version = super().get_object(request, object_id, from_field)
        return with_live_model(version) if version is not None else None

    def header(self, request: HttpRequest, version: Version) -> dict[str, Any]:
        header = version_header(version, self.verb_buttons(request, version))
        return {**header, "is_changing": is_being_checked(version)}

    @display(description="state", ordering="status")
    def state(self, version: Version) -> SafeString:
        state = state_of_version(version)
        return badge(state.word, state.tone)
