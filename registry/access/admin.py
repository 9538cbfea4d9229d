from copy import copy
from functools import partial
from typing import Any

from axes.models import AccessAttempt
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Now
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse

from registry.access import services
from registry.access.forms import KeyForm, NewPersonForm, PasswordForm, PersonForm
from registry.access.key_examples import examples_of
from registry.access.limits import LIMIT_COLUMNS
from registry.access.models import ApiKey, Tenant
from registry.access.policies import Right, rights_by_role
from registry.errors import RoundhouseError
from registry.kit.admin.columns import Tone, badge, cut, moment_column, number_column, text_column
from registry.kit.admin.pages import EditablePage, ReadOnlyPage
from registry.kit.admin.theme import ModelAdmin, actor, display

_LONGEST_NAMES = 60

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserPage(EditablePage, DjangoUserAdmin, ModelAdmin[User]):  # type: ignore[type-arg]
    right = Right.MANAGE_PEOPLE
    form = PersonForm
    add_form = NewPersonForm
    list_display = [
        "username", "full_name", "email", "roles", "state", moment_column("last_login", "last login"),
    ]  # fmt: skip
    list_filter = ["is_active", "groups"]
    filter_horizontal = []
    readonly_fields = ["password_link"]
    fieldsets = (
        (None, {"fields": ("username", "password_link", "is_active")}),
        ("Name", {"fields": ("first_name", "last_name", "email")}),
        ("Rights", {"fields": ("roles", "is_limited", "models")}),
    )
    add_fieldsets = (
        (None, {"fields": ("username", "password1", "password2")}),
        ("Name", {"fields": ("first_name", "last_name", "email")}),
        ("Rights", {"fields": ("roles", "is_limited", "models")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    @display(description="name", ordering="first_name")
    def full_name(self, user: User) -> str:
        return user.get_full_name() or "–"

    @display(description="state", ordering="is_active")
    def state(self, user: User) -> str:
        return badge("active", Tone.GOOD) if user.is_active else badge("deactivated", Tone.IDLE)

    @display(description="roles")
    def roles(self, user: User) -> str:
        names = ", ".join(group.name for group in user.groups.all())
        return "superuser" if user.is_superuser else names or "none"

    @display(description="password")
    def password_link(self, user: User) -> str:
        return render_to_string("admin/registry/password_link.html", {"person": user})

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        is_superuser = obj is not None and obj.is_superuser
        return self.has_right(request) and (not is_superuser or actor(request).may(Right.MANAGE_SUPERUSERS))

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if change:
            services.change_person(user=obj, person=form.person, by=actor(request))
        else:
            password = form.cleaned_data["password1"]
            obj.pk = services.create_person(person=form.person, password=password, by=actor(request)).pk

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Do nothing: the service has written the roles."""

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        page = copy(self)  # all threads share this object, and the form needs this request's actor
        page.change_password_form = partial(PasswordForm, by=actor(request))
        return super(UserPage, page).user_change_password(request, id, form_url)


@admin.register(Group)
class RolePage(ReadOnlyPage, ModelAdmin[Group]):
    right = Right.MANAGE_PEOPLE
    list_display = ["name", number_column("people_count", "people")]
    search_fields = ["name"]
    fields = readonly_fields = ("name", "rights", "people")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        return super().get_queryset(request).annotate(people_count=Count("user"))

    @display(description="people")
    def people(self, role: Group) -> int:
        count: int = role.people_count  # type: ignore[attr-defined]
        return count

    @display(description="rights")
    def rights(self, role: Group) -> str:
        return ", ".join(sorted(right.replace("_", " ") for right in rights_by_role().get(role.name, ())))


@admin.register(Tenant)
class TenantPage(EditablePage, ModelAdmin[Tenant]):
    empty_text = "A tenant is a client with its own API keys, limits and jobs."
    right = Right.MANAGE_KEYS
    list_display = [
        "slug", text_column("title", "title"), number_column("keys_held", "keys"), "limits",
        moment_column("created_at", "created"),
    ]  # fmt: skip
    search_fields = ["slug", "title"]
    fields = ["slug", "title", *LIMIT_COLUMNS]

    def get_readonly_fields(self, request: HttpRequest, obj: Tenant | None = None) -> list[str]:
        return ["slug"] if obj else []

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        return super().get_queryset(request).annotate(keys_held=Count("keys")).order_by("slug")

    def save_model(self, request: HttpRequest, obj: Tenant, form: "ModelForm[Tenant]", change: bool) -> None:
        by = actor(request)
        if change:
            services.change_tenant(tenant=obj, title=obj.title, limits=obj.limits, by=by)
        else:
            obj.pk = services.create_tenant(slug=obj.slug, title=obj.title, limits=obj.limits, by=by).pk


class KeyStateFilter(admin.SimpleListFilter):
    """Keys that still work, or those that do not."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("valid", "Valid"), ("expired", "Expired"), ("revoked", "Revoked")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        unrevoked = queryset.filter(revoked_at=None)
        if self.value() == "valid":
            return unrevoked.filter(Q(expires_at=None) | Q(expires_at__gt=Now()))
        if self.value() == "expired":
            return unrevoked.filter(expires_at__lte=Now())
        return queryset.exclude(revoked_at=None) if self.value() == "revoked" else queryset


@admin.register(ApiKey)
class ApiKeyPage(EditablePage, ModelAdmin[ApiKey]):
    empty_text = "Programs need a key to predict, submit jobs and use the API."
    right = Right.MANAGE_KEYS
    form = KeyForm
    list_display = [
        "name", "state", "tenant", "shown_prefix", "permissions", "models", "limits",
        moment_column("last_used_at", "last used"), moment_column("expires_at", "expires"),
    ]  # fmt: skip
    list_select_related = ["tenant"]
    list_filter = [KeyStateFilter, "tenant"]
    search_fields = ["name", "prefix", "tenant__slug"]
    fields = ["name", "tenant", "scopes", "all_models", "only_models", "expires_at", *LIMIT_COLUMNS]
    autocomplete_fields = ["tenant", "only_models"]
    actions = ["revoke"]
    _FACTS = ("shown_prefix", "created_by", "created_at", "last_used_at", "revoked_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        return super().get_queryset(request).prefetch_related("only_models")

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[Any]:
        return [*self.fields, *(self._FACTS if obj else [])]

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[str]:
        return ["tenant", *self._FACTS] if obj else []

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return self.has_right(request) and (obj is None or obj.revoked_at is None)

    @display(description="key")
    def shown_prefix(self, key: ApiKey) -> str:
        return f"rh_{key.prefix}_…"

    @display(description="permissions")
    def permissions(self, key: ApiKey) -> str:
        return cut(", ".join(key.scopes), _LONGEST_NAMES)

    @display(description="Models")
    def models(self, key: ApiKey) -> str:
        if key.all_models:
            return "all"
        return cut(", ".join(str(model) for model in key.only_models.all()) or "none", _LONGEST_NAMES)

    @display(description="state")
    def state(self, key: ApiKey) -> str:
        if key.revoked_at is not None:
            return badge("revoked", Tone.BAD)
        return badge("valid", Tone.GOOD) if key.is_valid else badge("expired", Tone.WARN)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            services.change_key(key=obj, **form.terms, by=actor(request))
            return
        key, request.key_text = services.issue_key(  # type: ignore[attr-defined]
            tenant=form.cleaned_data["tenant"], **form.terms, by=actor(request)
        )
        obj.pk, obj.prefix = key.pk, key.prefix

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Do nothing: the service has written the Models."""

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the key on this page: a message would be stored in a cookie or the session."""
        context = {
            **self.admin_site.each_context(request),
            "title": "New API key",
            "key": obj,
            "text": request.key_text,  # type: ignore[attr-defined]
            "examples": examples_of(ApiKey.objects.get(pk=obj.pk), request.key_text),  # type: ignore[attr-defined]
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/registry/new_key.html", context)

    @admin.action(description="Revoke the selected keys", permissions=["change"])
    def revoke(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> None:
        for key in keys:
            try:
                services.revoke_key(key=key, by=actor(request))
            except RoundhouseError as error:
                messages.error(request, str(error))
            else:
                messages.success(request, f"{key} is revoked; every process will refuse it within a minute.")


@admin.register(AccessAttempt)
class LockedLoginPage(ReadOnlyPage, ModelAdmin[AccessAttempt]):
    empty_text = (
        "User names and addresses locked after too many wrong passwords appear here until the lock expires."
    )
    right = Right.MANAGE_PEOPLE
    list_display = [
        "username", "ip_address", number_column("failures_since_start", "wrong passwords"),
        moment_column("attempt_time", "last attempt"),
    ]  # fmt: skip
    ordering = ["-attempt_time"]
    search_fields = ["username", "ip_address"]
    fields = readonly_fields = ("username", "ip_address", "failures_since_start", "attempt_time")
    actions = ["unlock"]

    def has_unlock_permission(self, request: HttpRequest) -> bool:
        return self.has_right(request)

    @admin.action(description="Unlock the selected logins", permissions=["unlock"])
    def unlock(self, request: HttpRequest, attempts: QuerySet[AccessAttempt]) -> None:
        for attempt in attempts:
            services.unlock_login(attempt=attempt, by=actor(request))
            messages.success(request, f"{attempt.username} can log in again.")
