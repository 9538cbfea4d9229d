"""A Model that asks for two people, and what they do."""

from registry.traffic import services as traffic
from registry.traffic.models import SplitRequest
from tests.support.factories import a_model, a_person, a_split, a_version, an_actor


def a_guarded_model(*, slug=None, versions=2):
    """Version 1 answers everything; whatever another is to answer takes two people from now on."""
    model = a_model(slug)
    for _ in range(versions):
        a_version(model)
    a_split(model, 100)
    return traffic.set_approval_rule(model=model, needed=True, reason="a test", by=an_actor())


def shares_of(model, *percents):
    """Basis points for the versions from the oldest on; nothing for those of which 0 is said."""
    versions = model.versions.order_by("number")
    return {version: share * 100 for version, share in zip(versions, percents, strict=False) if share}


def ask(model, *percents, by=None) -> SplitRequest:
    arms = shares_of(model, *(percents or (90, 10)))
    return traffic.ask_for_split(model=model, arms=arms, comment="because", by=by or an_actor())


def approve(request, by=None):
    return traffic.approve_request(
        request=request, reason="good", by=by or an_actor(user=a_person("approver"))
    )


def live_percents(model):
    """What each version answers now, by number."""
    split = model.splits.filter(status="current").first()
    if split is None:
        return {}
    shares, numbers = split.shares(), dict(model.versions.values_list("pk", "number"))
    return {numbers[version]: share / 100 for version, share in sorted(shares.items())}
