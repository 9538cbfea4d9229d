from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularRedocView, SpectacularSwaggerSplitView

from inference.doors.rest.api import PredictDefaultView
from registry.access.login import OwnPasswordView, login
from registry.kit.admin.search import search_page
from roundhouse import problems
from roundhouse.api_index import ApiIndexView
from roundhouse.schema import NewSchemaView, OldSchemaView, RedocScriptView

admin.site.index_title = "Home"
admin.site.empty_value_display = "–"

urlpatterns = [  # in order of traffic: programs first, people last
    path("api/v1/", include("inference.doors.urls")),
    path("", include("inference.doors.oip.urls")),
    path("predict", PredictDefaultView.as_view(), name="predict-default"),
    path("", include("inference.doors.hugging_face.urls")),
    path("", include("moderation.doors.urls")),
    path("api/v1/", include("inference.jobs.urls")),
    path("api/v1/", include("inference.measure.urls")),
    path("api/v1/", include("registry.urls")),
    path("api/v1/", include("inference.serving.stewards.urls")),
    path("api/v1/", include("inference.doors.grpc.urls")),
    path("api/v1", ApiIndexView.as_view(), name="api-index"),
    path("api/v1/", include("inference.story.urls")),
    path("favicon.ico", RedirectView.as_view(url=static("roundhouse/mark.svg"))),
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("admin/login/", login, name="login"),
    path("admin/password_change/", admin.site.admin_view(OwnPasswordView.as_view()), name="own-password"),
    path("admin/search/", admin.site.admin_view(search_page)),  # instead of the theme's own search
    path("admin/", include("inference.try_it.views")),
    path("admin/", include("inference.try_it.picture_views")),
    path("admin/", include("registry.console.first_steps")),
    path("admin/", include("registry.catalogue.model_choices")),
    path("admin/", include("inference.story.views")),
    path("admin/", include("moderation.console.review_page")),
    path("admin/", include("moderation.console.evidence_page")),
    path("admin/", include("moderation.console.report_card")),
    path("admin/", admin.site.urls),
    path("api/schema", NewSchemaView.as_view(), name="schema"),
    path("api/schema-3.0", OldSchemaView.as_view(), name="schema-3.0"),
    path("api/docs", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="swagger"),
    path("api/redoc.js", RedocScriptView.as_view(), name="redoc-script"),
    path("api/redoc", SpectacularRedocView.as_view(url_name="schema"), name="redoc"),
]

handler400 = problems.bad_request
handler403 = problems.forbidden
handler404 = problems.not_found
handler500 = problems.server_error
