"""Routes at the root, with and without a trailing slash: the protocol's clients treat a redirect as a failure."""

from django.urls import URLPattern, path, re_path
from django.views import View

from inference.doors.oip import views

_MODEL = "models/<str:model>"
_VERSION = f"{_MODEL}/versions/<str:version>"
_ROUTES: tuple[tuple[str, type[View]], ...] = (
    ("health/live", views.ServerLiveView),
    ("health/ready", views.ServerReadyView),
    ("", views.ServerView),
    ("models/stats", views.StatisticsView),
    ("repository/index", views.IndexView),
    ("repository/models/<str:model>/load", views.LoadView),
    ("repository/models/<str:model>/unload", views.UnloadView),
    ("trace/setting", views.UnsupportedView),
    (f"{_MODEL}/trace/setting", views.UnsupportedView),
    ("logging", views.UnsupportedView),
    *(
        (f"{prefix}{rest}", view)
        for prefix in (_MODEL, _VERSION)
        for rest, view in (
            ("/infer", views.InferView),
            ("/ready", views.ModelReadyView),
            ("/config", views.ConfigView),
            ("/stats", views.StatisticsView),
            ("", views.ModelView),
        )
    ),
)


def _both(route: str, view: type[View]) -> list[URLPattern]:
    address = f"v2/{route}" if route else "v2"
    return [path(address, view.as_view()), path(f"{address}/", view.as_view())]


urlpatterns = [pattern for route, view in _ROUTES for pattern in _both(route, view)]
urlpatterns += [
    path(f"v2/{kind}sharedmemory/<path:call>", views.UnsupportedView.as_view()) for kind in ("system", "cuda")
]
urlpatterns.append(re_path(r"^v2/", views.UnknownPathView.as_view()))
