"""Routes at the root. Both `/v2` and `/v2/`: a redirect is a failure to the protocol's clients."""

from django.urls import URLPattern, path, re_path
from django.views import View

from inference.doors.oip import http

_MODEL = "models/<str:model>"
_VERSION = f"{_MODEL}/versions/<str:version>"
_ROUTES: tuple[tuple[str, type[View]], ...] = (
    ("health/live", http.LiveView),
    ("health/ready", http.ReadyView),
    ("", http.ServerView),
    ("models/stats", http.StatisticsView),
    ("repository/index", http.IndexView),
    ("repository/models/<str:model>/load", http.LoadView),
    ("repository/models/<str:model>/unload", http.UnloadView),
    ("trace/setting", http.UnservedView),
    (f"{_MODEL}/trace/setting", http.UnservedView),
    ("logging", http.UnservedView),
    *(
        (f"{prefix}{rest}", view)
        for prefix in (_MODEL, _VERSION)
        for rest, view in (
            ("/infer", http.InferView),
            ("/ready", http.ModelReadyView),
            ("/config", http.ConfigView),
            ("/stats", http.StatisticsView),
            ("", http.ModelView),
        )
    ),
)


def _both(route: str, view: type[View]) -> list[URLPattern]:
    address = f"v2/{route}" if route else "v2"
    return [path(address, view.as_view()), path(f"{address}/", view.as_view())]


urlpatterns = [pattern for route, view in _ROUTES for pattern in _both(route, view)]
urlpatterns += [
    path(f"v2/{kind}sharedmemory/<path:call>", http.UnservedView.as_view()) for kind in ("system", "cuda")
]
urlpatterns.append(re_path(r"^v2/", http.NowhereView.as_view()))
