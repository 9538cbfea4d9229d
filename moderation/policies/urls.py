from django.urls import path

from moderation.policies.api import PoliciesView, PolicyRevisionsView

_POLICY, _REVISION = "policies/<str:name>", "policies/<str:name>/revisions/<int:number>"

urlpatterns = [
    path("policies", PoliciesView.as_view({"get": "list", "post": "create"})),
    path(_POLICY, PoliciesView.as_view({"get": "retrieve"})),
    path(
        f"{_POLICY}/draft",
        PoliciesView.as_view({"get": "draft", "put": "save_draft", "delete": "discard_draft"}),
    ),
    path(f"{_POLICY}/publish", PoliciesView.as_view({"post": "publish"})),
    path(f"{_POLICY}/request", PoliciesView.as_view({"post": "request_publication"})),
    path(f"{_POLICY}/roll-back", PoliciesView.as_view({"post": "roll_back"})),
    path(f"{_POLICY}/retire", PoliciesView.as_view({"post": "retire"})),
    path(f"{_POLICY}/approval", PoliciesView.as_view({"put": "approval"})),
    path(f"{_POLICY}/rule-days", PoliciesView.as_view({"get": "rule_days"})),
    path(f"{_POLICY}/revisions", PolicyRevisionsView.as_view({"get": "list"})),
    path(_REVISION, PolicyRevisionsView.as_view({"get": "retrieve"})),
    path(f"{_REVISION}/approve", PolicyRevisionsView.as_view({"post": "approve"})),
    path(f"{_REVISION}/reject", PolicyRevisionsView.as_view({"post": "reject"})),
    path(f"{_REVISION}/withdraw", PolicyRevisionsView.as_view({"post": "withdraw"})),
]
