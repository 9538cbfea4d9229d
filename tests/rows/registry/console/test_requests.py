"""The pages of requests: who sees what, who may decide, and what a page says before and after."""

import pytest
from django.urls import reverse

from registry.console.requests import shown_request
from registry.traffic import services
from registry.traffic.models import SplitRequest
from registry.traffic.readiness import READINESS, Readiness, ReadinessCheck, ReadinessState
from registry.traffic.selectors import current_split
from registry.traffic.transitions import RequestStatus
from tests.support import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture
def model():
    """One version is live, and the rule is on."""
    model = make.a_live_model(100)
    make.a_version(model)
    return services.set_approval_rule(model=model, needed=True, reason="because", by=make.an_actor())


@pytest.fixture
def approver():
    return make.a_person("approver")


def logged_in(client, person):
    client.force_login(person)
    return client


def split_form(model, *shares):
    numbers = sorted(model.versions.values_list("number", flat=True))
    given = {f"version_{number}": share for number, share in zip(numbers, shares, strict=True)}
    return {**given, "reason": "try it", "seen": model.split_revision}


def asked(client, model, operator, *shares) -> SplitRequest:
    page = reverse("admin:registry_model_split", args=[model.pk])
    answer = logged_in(client, operator).post(page, split_form(model, *shares), follow=True)
    request = SplitRequest.objects.get(status=RequestStatus.OPEN)
    assert f'Sent for approval as <a href="{address(request)}" class="underline">' in answer.text
    return request


def address(request, verb="change"):
    return reverse(f"admin:registry_splitrequest_{verb}", args=[request.pk])


def test_the_editor_sends_a_request_where_approval_is_needed(client, model, operator):
    page = reverse("admin:registry_model_split", args=[model.pk])
    assert "needs a second person&#x27;s approval" in logged_in(client, operator).get(page).text

    request = asked(client, model, operator, 90, 10)

    assert request.arms == {"1": 9000, "2": 1000}
    assert current_split(model).number == 1


def test_request_waits_on_the_models_page_and_at_home(client, model, operator, approver):
    request = asked(client, model, operator, 90, 10)
    logged_in(client, approver)

    for page in (reverse("admin:registry_model_change", args=[model.pk]), reverse("admin:index")):
        text = client.get(page).text
        assert f'href="{address(request)}"' in text
        assert "ou can decide" in text


def test_another_person_approves(client, model, operator, approver):
    request = asked(client, model, operator, 90, 10)
    shown = logged_in(client, approver).get(address(request)).text
    assert "10 % of routing keys get a different version" in shown
    assert f'formaction="{address(request, "approve")}"' in shown
    assert 'name="reason"' in shown

    answer = client.post(address(request, "approve"), {"reason": "looks good"}, follow=True)

    assert "Approved." in answer.text
    shares = current_split(model).shares()
    assert [shares[version.pk] for version in model.versions.order_by("number")] == [9000, 1000]
    request.refresh_from_db()
    assert (request.status, request.decided_by) == ("approved", approver.username)
    assert "Gates at approval" in client.get(address(request)).text


def test_a_split_that_waits_refreshes_its_pages_until_it_is_current(client, model, operator, approver):
    request = asked(client, model, operator, 90, 10)
    page = reverse("admin:registry_model_change", args=[model.pk])
    waits = ReadinessCheck(lambda _split: Readiness(ReadinessState.WAIT, "0 of 2 engines are warm"))
    logged_in(client, approver)

    with READINESS.changed(engines=waits):
        answer = client.post(address(request, "approve"), {"reason": "looks good"}, follow=True)
        waiting, of_model = client.get(address(request)).text, client.get(page).text

    services.settle_split(split=model.splits.get(number=2), by=make.an_actor())
    current = client.get(address(request)).text

    assert "becomes current as soon as every engine that serves it is warm" in answer.text
    assert 'id="rh-decision" data-live-s="3"' in waiting
    assert "waiting: 0 of 2 engines are warm. It expires in" in waiting
    assert 'id="rh-head" data-live-s="3"' in of_model
    assert 'id="rh-decision">' in current
    assert 'id="rh-head" aria-label' in client.get(page).text


def test_the_gates_come_before_the_decision_which_names_those_that_need_it(client, model, operator, approver):
    request = asked(client, model, operator, 90, 10)
    outcomes = {"failed": "memory", "warned": "golden set", "passed": "signature"}
    gates = [{"name": name, "outcome": outcome, "sentence": "x"} for outcome, name in outcomes.items()]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("registry.console.requests.gates_of", lambda _request: gates)
        shown = logged_in(client, approver).get(address(request)).text

    decision = shown.partition('id="rh-decide-title"')[2].partition("</section>")[0]
    assert shown.index('id="rh-gates-title"') < shown.index('id="rh-decide-title"')
    assert "1 failed</a> (memory), " in decision
    assert "1 needs your judgement</a> (golden set), " in decision
    assert "1 passed</a>." in decision


def test_the_requester_cannot_decide(client, model):
    both = make.a_person("operator", "approver")
    request = asked(client, model, both, 90, 10)

    shown = client.get(address(request)).text
    assert "Another person has to decide" in shown
    assert f'formaction="{address(request, "approve")}"' not in shown
    assert f'formaction="{address(request, "withdraw")}"' in shown

    refused = client.post(address(request, "approve"), {"reason": "me"})
    assert "someone else has to decide" in refused.text
    assert current_split(model).number == 1


def test_rejection_says_why(client, model, operator, approver):
    request = asked(client, model, operator, 90, 10)

    logged_in(client, approver).post(address(request, "reject"), {"reason": "not on a Friday"})

    assert "not on a Friday" in logged_in(client, operator).get(address(request)).text


def test_gates_show_their_numbers(model):
    by = make.an_actor()
    first, second = model.versions.order_by("number")
    make.a_golden_set(model, metric="f1", floor=0.9)
    request = services.ask_for_split(model=model, arms={first: 9000, second: 1000}, comment="try it", by=by)

    told = {gate["name"]: gate for gate in shown_request(request).gates}

    assert told["golden set"]["outcome"] == "unknown"
    assert "has not been measured on golden set 1" in told["golden set"]["sentence"]
    assert told["signature"]["sentence"] == "Version 2 has the same inputs and outputs as version 1."
    assert told["memory"]["outcome"] == "unknown"


def test_admin_switches_the_rule(client, model):
    logged_in(client, make.a_person("admin"))
    page = reverse("admin:registry_model_one_person", args=[model.pk])

    client.post(page, {"reason": "an experiment"}, follow=True)

    model.refresh_from_db()
    assert not model.needs_approval
