from rest_framework.routers import SimpleRouter

from registry.record.api import AuditView, DeliveriesView, EventsView, SubscriptionsView

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("audit", AuditView)
router.register("events", EventsView)
router.register("deliveries", DeliveriesView)
router.register("subscriptions", SubscriptionsView)

urlpatterns = router.urls
