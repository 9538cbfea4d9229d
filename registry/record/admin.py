from collections.abc import Sequence
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet, Subquery
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST

from registry.errors import NotAllowed, RoundhouseError, UrlRefused
from registry.kit.admin.columns import Tone, moment_column, number_column, state_column, text_column
from registry.kit.admin.facts import readable, when
from registry.kit.admin.pages import EditablePage, ReadOnlyPage, csv_response, exact_filter
from registry.kit.admin.theme import (
    ChangeList,
    CheckboxSelectMultiple,
    DropdownFilter,
    ModelAdmin,
    ModelForm,
    PeriodFilter,
    actor,
    display,
)
from registry.record import deliveries, subscriptions
from registry.record.events import EVENT_KINDS, readable_data
from registry.record.fetcher.urls import read_url
from registry.record.lines import lines_for, links_for
from registry.record.models import AuditCheckpoint, AuditRecord, Delivery, Event, Subscription
from registry.record.selectors import READ, deliveries_before, differences, last_deliveries, visible
from registry.record.sentences import SENTENCES
from registry.record.subscriptions import SubscriptionSettings

_TONES = {
    Delivery.Status.WAITING: Tone.BUSY, Delivery.Status.SENDING: Tone.BUSY, Delivery.Status.DELIVERED: Tone.GOOD,
    Delivery.Status.FAILED: Tone.BAD,
}  # fmt: skip


class RecordPage(ReadOnlyPage):
    """Lists rows that only Roundhouse writes. People who may read the record see only the rows about their Models."""

    right = READ
    scope: ClassVar[str | None] = "model_slug"  # the path to the Model's slug
    list_filter_submit = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]
        return visible(rows, actor(request), model_slug=self.scope) if self.scope else rows


class ActionFilter(DropdownFilter):
    title = "action"
    parameter_name = "action"

    def lookups(self, _request: HttpRequest, _page: Any) -> list[tuple[str, str]]:
        return sorted((name, name.replace("_", " ")) for name, _ in SENTENCES.items())

    def queryset(self, _request: HttpRequest, records: QuerySet[AuditRecord]) -> QuerySet[AuditRecord]:
        return records.filter(action=self.value()) if self.value() else records


class EventKindFilter(DropdownFilter):
    title = "kind"
    parameter_name = "kind"

    def lookups(self, _request: HttpRequest, _page: Any) -> list[tuple[str, str]]:
        return sorted((name, name.replace("_", " ")) for name, _ in EVENT_KINDS.items())

    def queryset(self, _request: HttpRequest, events: QuerySet[Event]) -> QuerySet[Event]:
        return events.filter(kind=self.value()) if self.value() else events


class RecordList(ChangeList):
    """Each record with its line, made for all records of a page at once."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = _with_lines(request, list(self.result_list))


class EventList(ChangeList):
    """Each event with its links, made for all events of a page at once."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = _with_links(request, list(self.result_list))


def _with_lines(request: HttpRequest, records: list[Any]) -> list[Any]:
    for record, line in zip(records, lines_for(request, records), strict=True):
        record.line = line
    return records


def _with_links(request: HttpRequest, events: list[Any]) -> list[Any]:
    for event, links in zip(events, links_for(request, events), strict=True):
        event.links = links
    return events


@admin.register(AuditRecord)
class AuditRecordPage(RecordPage, ModelAdmin[AuditRecord]):
    list_display = ["seq", "when", "sentence", "who", "about", "of_model", "why"]
    list_display_links = ["seq"]
    list_filter = [
        ("at", PeriodFilter),
        "source",
        ActionFilter,
        exact_filter("model_slug", "Model"),
        exact_filter("actor_name", "actor"),
    ]
    list_before_template = "admin/registry/export_link.html"
    search_fields = ["object_label"]  # shows the search box; see get_search_results
    search_help_text = "An exact record number, object, object id, Model, actor, action or request id."
    change_form_outer_before_template = "admin/registry/record_card.html"
    fields = readonly_fields = (
        "seq", "action", "source", "request_id", "user_id", "key_id", "object_kind", "object_id", "model_slug", "hash",
        "previous_hash",
    )  # fmt: skip
    _SEARCHED = ("object_label", "object_id", "model_slug", "actor_name", "action", "request_id")
    _EXPORTED = (
        "seq", "at", "actor_name", "user_id", "key_id", "source", "request_id", "action", "object_kind", "object_id",
        "object_label", "model_slug", "before_json", "after_json", "reason", "hash",
    )  # fmt: skip

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[RecordList]:
        return RecordList

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        record: AuditRecord = kwargs["obj"]
        (line,) = lines_for(request, [record])
        shown = {
            "line": line,
            "rows": differences(record),
            "title": f"Audit record {record.pk}",
            "subtitle": None,
        }
        return super().render_change_form(request, {**context, **shown}, *args, **kwargs)

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """By number; by time if the list has an end date, so that the index on time skips all newer rows."""
        return ("-at", "-seq") if request.GET.get("at_to_0") else ("-seq",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditRecord], search_term: str
    ) -> tuple[QuerySet[AuditRecord], bool]:
        """Match whole values: searching a million rows for parts of words takes seconds."""
        term = search_term.strip().removeprefix("#")
        if not term:
            return queryset, False
        matches = queryset.none()
        for field in self._SEARCHED:
            matches |= queryset.filter(**{field: term})
        if term.isdecimal() and len(term) < 19:
            matches |= queryset.filter(seq=int(term))
        return matches, False

    def get_urls(self) -> list[URLPattern]:
        export = path("export/", self.admin_site.admin_view(self.export), name="registry_auditrecord_export")
        return [export, *super().get_urls()]

    def export(self, request: HttpRequest) -> StreamingHttpResponse:
        """Export all rows that match the list's filters, as CSV."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = self.get_changelist_instance(request).get_queryset(request).order_by("seq")
        values = rows.values_list(*self._EXPORTED).iterator(chunk_size=2_000)
        return csv_response("audit", self._EXPORTED, values)

    @display(description="when", ordering="at")
    def when(self, record: AuditRecord) -> str:
        return when(record.at)

    @display(description="who", ordering="actor_name")
    def who(self, record: Any) -> str:
        return _linked(record.actor_name, record.line.actor_url)

    @display(description="what was done", ordering="action")
    def sentence(self, record: Any) -> str:
        return render_to_string("admin/registry/record_sentence.html", {"line": record.line})

    @display(description="object", ordering="object_label")
    def about(self, record: Any) -> str:
        return _linked(record.object_label, record.line.links.object_url)

    @display(description="Model", ordering="model_slug")
    def of_model(self, record: Any) -> str:
        return _linked(record.model_slug, record.line.links.model_url)

    @display(description="reason")
    def why(self, record: Any) -> str:
        reason: str = record.line.reason
        return reason


def _linked(text: str, url: str) -> str:
    return render_to_string("admin/registry/linked.html", {"text": text, "url": url})


@admin.register(AuditCheckpoint)
class AuditCheckpointPage(RecordPage, ModelAdmin[AuditCheckpoint]):
    empty_text = "A checkpoint signs the last record, so that a truncated log can be detected."
    scope = None
    list_display = ["number", moment_column("at", "at"), "seq", "signature"]
    fields = readonly_fields = ("number", "at", "seq", "record_hash", "previous_signature", "signature")


@admin.register(Event)
class EventPage(RecordPage, ModelAdmin[Event]):
    empty_text = "Events of Models, jobs and workers appear here, and are sent to subscribers."
    list_display = ["when", "summary", "kind_in_words", "about", "of_model"]
    list_display_links = ["summary"]
    list_filter = [("at", PeriodFilter), EventKindFilter, exact_filter("model_slug", "Model")]
    fields = readonly_fields = ("when", "summary", "meaning", "about", "of_model", "facts", "data")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[EventList]:
        return EventList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Event | None:
        event: Event | None = super().get_object(request, object_id, from_field)
        if event is None:
            return None
        event.data = readable_data(event, actor(request))
        _with_links(request, [event])
        return event

    @display(description="when", ordering="at")
    def when(self, event: Event) -> str:
        return when(event.at)

    @display(description="kind", ordering="kind")
    def kind_in_words(self, event: Event) -> str:
        return event.kind.replace("_", " ")

    @display(description="kind")
    def meaning(self, event: Event) -> str:
        return f"{event.kind}: {EVENT_KINDS[event.kind]}" if event.kind in EVENT_KINDS else event.kind

    @display(description="object", ordering="object_label")
    def about(self, event: Any) -> str:
        return _linked(event.object_label, event.links.object_url)

    @display(description="Model", ordering="model_slug")
    def of_model(self, event: Any) -> str:
        return _linked(event.model_slug, event.links.model_url)

    @display(description="details")
    def facts(self, event: Event) -> str:
        return render_to_string("admin/registry/fact_list.html", {"facts": readable(event.data)})


class ButtonPage:
    """Buttons on a row's page that call services; POST only, so that no link can trigger them."""

    post_buttons: ClassVar[Sequence[tuple[str, str, str]]]  # (URL name, title, method)
    # The buttons belong to this form: in the page's own form, Enter would press the first of them.
    change_form_outer_after_template = "admin/registry/post_form.html"

    def get_urls(self) -> list[URLPattern]:
        site: admin.AdminSite = self.admin_site  # type: ignore[attr-defined]
        return [
            *(
                path(f"<int:pk>/{name}/", site.admin_view(require_POST(self._view_of(method))), name=name)
                for name, _, method in self.post_buttons
            ),
            *super().get_urls(),  # type: ignore[misc]
        ]

    def _view_of(self, method: str) -> Any:
        def view(request: HttpRequest, pk: int) -> HttpResponse:
            if not self.has_view_permission(request):  # type: ignore[attr-defined]
                raise PermissionDenied
            row = get_object_or_404(self.get_queryset(request), pk=pk)  # type: ignore[attr-defined]
            try:
                answer: HttpResponse | None = getattr(self, method)(request, row)
                if answer is not None:
                    return answer
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
        buttons = [
            (name, title, reverse(f"admin:{name}", args=[row.pk])) for name, title, _ in self.post_buttons
        ]
        return render_to_string("admin/registry/post_buttons.html", {"buttons": buttons, "row": row})


@admin.register(Delivery)
class DeliveryPage(ButtonPage, RecordPage, ModelAdmin[Delivery]):
    empty_text = "Messages to subscribers appear here, whether or not they were delivered."
    scope = "event__model_slug"
    list_display = [
        "event", "subscription", state_column("status", _TONES), number_column("count", "events"),
        number_column("attempts", "attempts"), "next_attempt", "http_status", text_column("last_error", "last error"),
    ]  # fmt: skip
    list_select_related = ["event", "subscription"]
    list_filter = ["status"]
    fields = readonly_fields = (
        "event", "subscription", "status", "count", "attempts", "next_attempt", "http_status", "response_ms",
        "last_error", "order_key", "message_id", "created_at", "ended_at", "buttons",
    )  # fmt: skip
    post_buttons = [("resend_delivery", "Send again", "resend")]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        first_before = deliveries_before().order_by("pk").values("pk")[:1]
        rows: QuerySet[Delivery] = super().get_queryset(request).annotate(waits_for=Subquery(first_before))
        return rows

    @display(description="next attempt", ordering="due_at")
    def next_attempt(self, delivery: Any) -> str:
        if delivery.status != Delivery.Status.WAITING:
            return "–"
        if delivery.waits_for is None:
            return when(delivery.due_at)
        url = reverse("admin:registry_delivery_change", args=[delivery.waits_for])
        return _linked(f"after delivery {delivery.waits_for}", url)

    def resend(self, request: HttpRequest, delivery: Delivery) -> None:
        deliveries.resend(delivery, by=actor(request))
        messages.success(request, "The message is being sent again.")


class SubscriptionForm(ModelForm[Subscription]):
    """Which events go where; services check the rights."""

    kinds = forms.MultipleChoiceField(
        required=False,
        choices=lambda: [(kind, sentence) for kind, sentence in EVENT_KINDS.items() if kind != "test"],
        widget=CheckboxSelectMultiple,
        help_text="Select none to receive all of them.",
    )

    class Meta:
        model = Subscription
        fields = ["name", "kinds", "model", "url", "email", "enabled"]

    def clean_url(self) -> str:
        """The service refuses the same addresses; here the message stands at the field."""
        url: str = self.cleaned_data["url"]
        if url:
            try:
                read_url(url, settings.FETCH_ALLOWED_HOSTS)
            except UrlRefused as refused:
                raise forms.ValidationError(str(refused)) from None
        return url

    @property
    def values(self) -> SubscriptionSettings:
        data: dict[str, Any] = self.cleaned_data
        model = data["model"]
        return SubscriptionSettings(
            **{name: data[name] for name in ("name", "kinds", "url", "email", "enabled")},
            model_id=model.pk if model else None,
        )


@admin.register(Subscription)
class SubscriptionPage(ButtonPage, EditablePage, ModelAdmin[Subscription]):
    empty_text = "A subscription sends events by webhook or e-mail."
    right = subscriptions.RIGHT
    form = SubscriptionForm
    list_display = ["name", "target", "events", "model", "enabled", "last_delivery", "test_button"]
    list_select_related = ["model"]
    list_before_template = "admin/registry/post_form.html"
    search_fields = ["name"]
    autocomplete_fields = ["model"]
    readonly_fields = ["last_delivery", "buttons"]
    post_buttons = [
        ("test_subscription", "Send a test", "send_test"),
        ("renew_subscription_secret", "Replace the secret", "renew_secret"),
    ]

    def get_fields(self, request: HttpRequest, obj: Subscription | None = None) -> list[Any]:
        more = ["last_delivery", "buttons"] if obj else []
        return ["name", "kinds", "model", "url", "email", "enabled", *more]

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist = super().get_changelist_instance(request)
        listed = list(changelist.result_list)
        newest = last_deliveries([subscription.pk for subscription in listed])
        for subscription in listed:
            subscription.newest_delivery = newest.get(subscription.pk)
        changelist.result_list = listed
        return changelist

    def get_urls(self) -> list[URLPattern]:
        last = path(
            "<int:pk>/last-delivery/", self.admin_site.admin_view(self.show_last), name="last_delivery"
        )
        return [last, *super().get_urls()]

    def show_last(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The state of the last delivery, which the page's script asks for while a test is being sent."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        return self._last_delivery_of(request, pk)

    def _last_delivery_of(self, request: HttpRequest, pk: int) -> HttpResponse:
        subscription = get_object_or_404(self.get_queryset(request), pk=pk)
        return HttpResponse(self.last_delivery(subscription), headers={"Cache-Control": "no-store"})

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_right(request)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Deliveries are deleted with their subscription; this needs no separate right."""
        return [str(subscription) for subscription in objs], {"subscriptions": len(objs)}, set(), []

    def save_model(self, request: HttpRequest, obj: Subscription, form: Any, change: bool) -> None:
        if change:
            subscriptions.change_subscription(subscription=obj, values=form.values, by=actor(request))
            return
        created, secret = subscriptions.add_subscription(values=form.values, by=actor(request))
        obj.pk = created.pk
        request.secret = secret if created.url else ""  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: Subscription, post_url_continue: str | None = None
    ) -> HttpResponse:
        secret: str = request.secret  # type: ignore[attr-defined]
        if not secret:
            return super().response_add(request, obj, post_url_continue)
        return self._show_secret(request, obj, secret, f"Subscription {obj.name} created")

    def _show_secret(
        self, request: HttpRequest, subscription: Subscription, secret: str, title: str
    ) -> HttpResponse:
        """Show the secret on a page of its own: a message would be stored in a cookie or the session."""
        context = {"title": title, "subscription": subscription, "secret": secret, "opts": self.opts}
        return TemplateResponse(
            request, "admin/registry/new_secret.html", {**self.admin_site.each_context(request), **context}
        )

    def delete_model(self, request: HttpRequest, obj: Subscription) -> None:
        subscriptions.remove_subscription(subscription=obj, by=actor(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Subscription]) -> None:
        for subscription in queryset:
            subscriptions.remove_subscription(subscription=subscription, by=actor(request))

    def send_test(self, request: HttpRequest, subscription: Subscription) -> HttpResponse | None:
        delivery = subscriptions.send_test(subscription=subscription, by=actor(request))
        if request.headers.get("X-Shown-In-Place"):
            return self._last_delivery_of(request, subscription.pk)
        messages.success(request, f"A test is being sent as delivery {delivery.pk}.")
        return None

    def renew_secret(self, request: HttpRequest, subscription: Subscription) -> HttpResponse:
        secret = subscriptions.renew_secret(subscription=subscription, by=actor(request))
        return self._show_secret(request, subscription, secret, f"New secret of {subscription.name}")

    @display(description="events")
    def events(self, subscription: Subscription) -> str:
        return ", ".join(subscription.kinds) or "everything"

    @display(description="last delivery")
    def last_delivery(self, subscription: Subscription) -> str:
        if hasattr(subscription, "newest_delivery"):
            newest = subscription.newest_delivery
        else:
            newest = last_deliveries([subscription.pk]).get(subscription.pk)
        context = {"subscription": subscription, "last": newest}
        return render_to_string("admin/registry/last_delivery.html", context)

    @display(description="")
    def test_button(self, subscription: Subscription) -> str:
        name, title, _ = self.post_buttons[0]
        buttons = [(name, title, reverse(f"admin:{name}", args=[subscription.pk]))]
        return render_to_string("admin/registry/post_buttons.html", {"buttons": buttons, "row": subscription})
