from django.urls import path
from rest_framework.routers import SimpleRouter

from registry.access.api import KeysView, MeView, TenantsView

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("keys", KeysView)
router.register("tenants", TenantsView)

urlpatterns = [path("me", MeView.as_view(), name="me"), *router.urls]
