from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST

from registry.errors import NotAllowed, RoundhouseError
from registry.kit.admin.csv_export import csv_response
from registry.kit.admin.paging import NoCountPaginator
from registry.kit.admin.theme import ModelAdmin, PeriodFilter, TextFilter, actor, display
from registry.record import deliveries, subscriptions
from registry.record.forms import SubscriptionForm
from registry.record.models import AuditCheckpoint, AuditRecord, Delivery, Event, Subscription
from registry.record.selectors import READ, differences, visible


def _exactly(field: str, said: str) -> type[TextFilter]:
    """Make a filter for one exact value: it uses the column's index, on a million rows too."""

    class Exactly(TextFilter):
        title = said
        parameter_name = field

        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
            return queryset.filter(**{field: self.value()}) if self.value() else queryset

    return Exactly


class RecordPage:
    """Shows rows that machines write, to those who may read the record, within their Models."""

    scope: ClassVar[str | None] = "model_slug"
    list_filter_submit = True
    show_full_result_count = False
    paginator: Any = NoCountPaginator

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]
        return visible(rows, actor(request), model_slug=self.scope) if self.scope else rows

    def has_module_permission(self, request: HttpRequest) -> bool:
        return READ in actor(request).rights

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return READ in actor(request).rights

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(AuditRecord)
class AuditRecordPage(RecordPage, ModelAdmin[AuditRecord]):
    list_display = ["seq", "when", "actor_name", "source", "action", "object_label", "model_slug", "reason"]
    list_filter = [
        ("at", PeriodFilter),
        "source",
        _exactly("action", "action"),
        _exactly("model_slug", "Model"),
        _exactly("actor_name", "actor"),
    ]
    list_before_template = "admin/registry/export_link.html"
    search_fields = ["object_label"]  # shows the box; what it does is below
    search_help_text = "A whole number, object, object id, Model, actor, action or request id."
    fields = readonly_fields = (
        "when",
        "actor_name",
        "action",
        "object_label",
        "change",
        "reason",
        "seq",
        "source",
        "request_id",
        "user_id",
        "key_id",
        "object_kind",
        "object_id",
        "model_slug",
        "hash",
        "previous_hash",
    )
    _SEARCHED = ("object_label", "object_id", "model_slug", "actor_name", "action", "request_id")
    _EXPORTED = (
        "seq", "at", "actor_name", "user_id", "key_id", "source", "request_id", "action", "object_kind", "object_id",
        "object_label", "model_slug", "before_json", "after_json", "reason", "hash",
    )  # fmt: skip

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """By number; up to a day by time, whose index then leads there without reading all that is newer."""
        return ("-at", "-seq") if request.GET.get("at_to_0") else ("-seq",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditRecord], search_term: str
    ) -> tuple[QuerySet[AuditRecord], bool]:
        """Search whole values: parts of words in a million rows would take seconds."""
        term = search_term.strip().removeprefix("#")
        if not term:
            return queryset, False
        found = queryset.none()
        for field in self._SEARCHED:
            found |= queryset.filter(**{field: term})
        if term.isdecimal() and len(term) < 19:
            found |= queryset.filter(seq=int(term))
        return found, False

    def get_urls(self) -> list[URLPattern]:
        export = path("export/", self.admin_site.admin_view(self.export), name="registry_auditrecord_export")
        return [export, *super().get_urls()]

    def export(self, request: HttpRequest) -> StreamingHttpResponse:
        """Give the rows that the list's filters leave, all of them, as CSV."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = self.get_changelist_instance(request).get_queryset(request).order_by("seq")
        values = rows.values_list(*self._EXPORTED).iterator(chunk_size=2_000)
        return csv_response("audit", self._EXPORTED, values)

    @display(description="when (UTC)", ordering="at")
    def when(self, record: AuditRecord) -> str:
        return f"{record.at:%Y-%m-%d %H:%M:%S}"

    @display(description="change")
    def change(self, record: AuditRecord) -> str:
        return render_to_string("admin/registry/differences.html", {"rows": differences(record)})


@admin.register(AuditCheckpoint)
class AuditCheckpointPage(RecordPage, ModelAdmin[AuditCheckpoint]):
    empty_text = "A signed checkpoint notes the last record, so that a log whose end was cut off is found."
    scope = None
    list_display = ["number", "at", "seq", "signature"]
    fields = readonly_fields = ("number", "at", "seq", "record_hash", "previous_signature", "signature")


@admin.register(Event)
class EventPage(RecordPage, ModelAdmin[Event]):
    empty_text = "What happens to Models, jobs and workers stands here, and goes to those who subscribed."
    list_display = ["at", "kind", "summary", "model_slug"]
    list_display_links = ["summary"]
    list_filter = [("at", PeriodFilter), _exactly("kind", "kind"), _exactly("model_slug", "Model")]
    fields = readonly_fields = ("at", "kind", "summary", "object_kind", "object_label", "model_slug", "data")


class ButtonPage:
    """Buttons on a row's page that call services; POST only, so that no link can press them."""

    buttons_shown: ClassVar[Sequence[tuple[str, str, str]]]  # (URL name, title, method)

    def get_urls(self) -> list[URLPattern]:
        site: admin.AdminSite = self.admin_site  # type: ignore[attr-defined]
        return [
            *(
                path(f"<int:pk>/{name}/", site.admin_view(require_POST(self._pressed(method))), name=name)
                for name, _, method in self.buttons_shown
            ),
            *super().get_urls(),  # type: ignore[misc]
        ]

    def _pressed(self, method: str) -> Any:
        def view(request: HttpRequest, pk: int) -> HttpResponse:
            if not self.has_view_permission(request):  # type: ignore[attr-defined]
                raise PermissionDenied
            row = get_object_or_404(self.get_queryset(request), pk=pk)  # type: ignore[attr-defined]
            try:
                getattr(self, method)(request, row)
            except NotAllowed as error:
                raise PermissionDenied(str(error)) from None
            except RoundhouseError as error:
                messages.error(request, str(error))
            opts = self.model._meta  # type: ignore[attr-defined]
            return HttpResponseRedirect(
                reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[pk])
            )

        return view

    @display(description="")
    def buttons(self, row: Any) -> str:
        shown = [(title, reverse(f"admin:{name}", args=[row.pk])) for name, title, _ in self.buttons_shown]
        return render_to_string("admin/registry/post_buttons.html", {"buttons": shown})


@admin.register(Delivery)
class DeliveryPage(ButtonPage, RecordPage, ModelAdmin[Delivery]):
    empty_text = "What was sent to subscriptions, or could not be, stands here."
    scope = "event__model_slug"
    list_display = [
        "event",
        "subscription",
        "status",
        "count",
        "attempts",
        "due_at",
        "http_status",
        "last_error",
    ]
    list_select_related = ["event", "subscription"]
    list_filter = ["status"]
    fields = readonly_fields = (
        "event",
        "subscription",
        "status",
        "count",
        "attempts",
        "due_at",
        "http_status",
        "response_ms",
        "last_error",
        "message_id",
        "created_at",
        "ended_at",
        "buttons",
    )
    buttons_shown = [("resend_delivery", "Send again", "resend")]

    def resend(self, request: HttpRequest, delivery: Delivery) -> None:
        deliveries.resend(delivery, by=actor(request))
        messages.success(request, "It is sent again.")


@admin.register(Subscription)
class SubscriptionPage(ButtonPage, ModelAdmin[Subscription]):
    empty_text = "A subscription tells people by webhook or e-mail of what happens."
    form = SubscriptionForm
    list_display = ["name", "target", "told_of", "model", "enabled"]
    list_select_related = ["model"]
    search_fields = ["name"]
    autocomplete_fields = ["model"]
    readonly_fields = ["buttons"]
    buttons_shown = [
        ("test_subscription", "Send a test", "send_test"),
        ("renew_subscription_secret", "Make another secret", "renew_secret"),
    ]

    def get_fields(self, request: HttpRequest, obj: Subscription | None = None) -> list[Any]:
        return ["name", "kinds", "model", "url", "email", "enabled", *(["buttons"] if obj else [])]

    def _may(self, request: HttpRequest) -> bool:
        return actor(request).may(subscriptions.RIGHT)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._may(request)

    def has_view_permission(self, request: HttpRequest, obj: Subscription | None = None) -> bool:
        return self._may(request)

    has_change_permission = has_delete_permission = has_view_permission

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._may(request)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Deliveries go with their subscription, without a right of their own."""
        return [str(subscription) for subscription in objs], {"subscriptions": len(objs)}, set(), []

    def save_model(self, request: HttpRequest, obj: Subscription, form: Any, change: bool) -> None:
        if change:
            subscriptions.change_subscription(subscription=obj, wish=form.wish, by=actor(request))
            return
        made, secret = subscriptions.add_subscription(wish=form.wish, by=actor(request))
        obj.pk = made.pk
        if made.url:
            _show_secret(request, secret)

    def delete_model(self, request: HttpRequest, obj: Subscription) -> None:
        subscriptions.remove_subscription(subscription=obj, by=actor(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Subscription]) -> None:
        for subscription in queryset:
            subscriptions.remove_subscription(subscription=subscription, by=actor(request))

    def send_test(self, request: HttpRequest, subscription: Subscription) -> None:
        delivery = subscriptions.send_test(subscription=subscription, by=actor(request))
        messages.success(request, f"A test is on its way as delivery {delivery.pk}.")

    def renew_secret(self, request: HttpRequest, subscription: Subscription) -> None:
        _show_secret(request, subscriptions.renew_secret(subscription=subscription, by=actor(request)))

    @display(description="told of")
    def told_of(self, subscription: Subscription) -> str:
        return ", ".join(subscription.kinds) or "everything"


def _show_secret(request: HttpRequest, secret: str) -> None:
    messages.warning(
        request, f"The secret of the signatures is {secret} . It is shown only now; give it to the receiver."
    )
