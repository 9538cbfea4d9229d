from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from inference.jobs.stores import services
from inference.jobs.stores.forms import StoreForm
from inference.jobs.stores.models import Store
from registry.access.policies import Right
from registry.kit.admin.theme import ModelAdmin, actor


@admin.register(Store)
class StorePage(ModelAdmin[Store]):
    empty_text = "A store is a folder or a bucket from which jobs read and to which they write."
    form = StoreForm
    fields = ["name", "kind", "root", "prefix", "may_read", "may_write", "for_people", "tenants"]
    list_display = ["name", "kind", "root", "prefix", "may_read", "may_write", "for_people"]
    search_fields = ["name"]
    autocomplete_fields = ["tenants"]

    def get_readonly_fields(self, request: HttpRequest, obj: Store | None = None) -> list[str]:
        return ["name"] if obj else []

    def has_module_permission(self, request: HttpRequest) -> bool:
        return actor(request).may(Right.MANAGE_SETTINGS)

    def has_view_permission(self, request: HttpRequest, obj: Store | None = None) -> bool:
        return actor(request).may(Right.MANAGE_SETTINGS)

    has_change_permission = has_delete_permission = has_view_permission

    def has_add_permission(self, request: HttpRequest) -> bool:
        return actor(request).may(Right.MANAGE_SETTINGS)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Which tenants may use a store goes with it."""
        return [str(store) for store in objs], {"stores": len(objs)}, set(), []

    def save_model(self, request: HttpRequest, obj: Store, form: Any, change: bool) -> None:
        if change:
            services.change_store(store=obj, wish=form.wish, by=actor(request))
            return
        obj.pk = services.add_store(name=form.cleaned_data["name"], wish=form.wish, by=actor(request)).pk

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """The service has written the tenants too."""

    def delete_model(self, request: HttpRequest, obj: Store) -> None:
        services.remove_store(store=obj, by=actor(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Store]) -> None:
        for store in queryset:
            services.remove_store(store=store, by=actor(request))
