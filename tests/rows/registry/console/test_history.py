"""A Model's history and permissions, a version's lineage, and failed checks on the home page."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.urls import reverse
from django.utils import timezone

from registry.access.policies import Role
from registry.access.services import revoke_key
from registry.catalogue.models import Version
from registry.console.attention import failed_runs
from registry.console.model_panels import permissions
from registry.intake.checklist.models import CheckRun
from registry.traffic.models import Split
from registry.traffic.services import stop_model
from tests.support.factories import (
    a_file,
    a_key,
    a_live_model,
    a_model,
    a_person,
    a_split,
    a_version,
    an_actor,
    an_uploaded_version,
)

pytestmark = pytest.mark.django_db
VIENNA = ZoneInfo("Europe/Vienna")


def _page(client, row, **query):
    return client.get(reverse(f"admin:registry_{row._meta.model_name}_change", args=[row.pk]), query)


def _then(client, model, at):
    """What the page answers to the question who was live at that moment, and the whole page."""
    text = _page(client, model, at=at).text
    return text.partition('class="rh-then"')[2].partition("</table>")[0].partition("<table")[0], text


def _moved_back(model, number, *, from_hours, to_hours):
    now = timezone.now()
    Split.objects.filter(model=model, number=number).update(
        from_at=now - timedelta(hours=from_hours), to_at=to_hours and now - timedelta(hours=to_hours)
    )


@pytest.fixture
def with_a_past():
    """100 % until an hour ago, 50/50 since."""
    model = a_live_model(100)
    a_version(model)
    a_split(model, 50, 50)
    _moved_back(model, 1, from_hours=3, to_hours=1)
    _moved_back(model, 2, from_hours=1, to_hours=None)
    return model


@pytest.mark.parametrize(
    ("hours_ago", "said"), [(2, "v1</b> 100 %"), (0.5, "v1</b> 50 %"), (4, "no version was live")]
)
def test_what_was_live_at_a_time(client, viewer, with_a_past, hours_ago, said):
    at = timezone.now() - timedelta(hours=hours_ago)

    assert said in _then(client, with_a_past, f"{at:%Y-%m-%dT%H:%M}")[0]


def test_the_time_is_read_and_shown_in_the_viewers_zone(client, viewer, with_a_past):
    client.cookies["rh_zone"] = "Europe%2FVienna"
    at = (timezone.now() - timedelta(hours=2)).astimezone(VIENNA)

    answer, page = _then(client, with_a_past, f"{at:%Y-%m-%dT%H:%M}")

    assert f"{at:%H:%M}" in answer.partition("</p>")[0]
    assert "v1</b> 100 %" in answer
    assert at.tzname() in page


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("yesterday", "This is not a valid date and time"),
        ("2026-13-41T10:00", "This is not a valid date and time"),
        ("0001-01-02T00:00", "no version was live"),
        ("9998-12-31T23:59", "in the future"),
        ("0001-01-01T00:00+14:00", "This is not a valid date and time"),
        ("0001-01-01T00:30Z", ""),
        ("9999-12-31T23:30Z", ""),
        ("<script>", "This is not a valid date and time"),
    ],
)
@pytest.mark.parametrize("zone", ["", "Pacific%2FAuckland", "America%2FLos_Angeles"])
def test_invalid_and_future_times_are_refused(client, viewer, typed, said, zone):
    client.cookies["rh_zone"] = zone

    page = _page(client, a_live_model(100), at=typed)

    assert page.status_code == 200
    assert said in page.text


def test_a_stop_is_shown_with_its_text(client, viewer):
    model = a_live_model(100)
    stop_model(model=model, text="smoke from the stack", by=an_actor())

    assert "smoke from the stack" in _then(client, model, timezone.now().isoformat())[0]


def test_an_unknown_zone_is_utc(client, viewer):
    model = a_live_model(100)
    for zone in ("Mars%2FOlympus", "..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd", "x" * 3000, "%00"):
        client.cookies["rh_zone"] = zone

        page = _page(client, model, tab="traffic")

        assert page.status_code == 200
        assert '<span id="rh-at-zone">UTC</span>' in page.text


def test_pages_tell_times_in_the_viewers_zone(client, viewer):
    model = a_live_model(100)
    Split.objects.filter(model=model).update(from_at=datetime(2026, 7, 1, 22, 30, tzinfo=ZoneInfo("UTC")))

    assert "1 Jul 2026, 22:30" in _page(client, model, tab="traffic").text
    client.cookies["rh_zone"] = "Europe%2FVienna"
    assert "2 Jul 2026, 00:30" in _page(client, model, tab="traffic").text


def _who(model):
    return {line.action: (line.people, line.keys) for line in permissions(model)}


@pytest.mark.both
def test_permissions_name_people_and_keys_in_scope():
    model, other = a_model(), a_model()
    operator, approver = a_person(Role.OPERATOR).username, a_person(Role.APPROVER).username
    a_person(Role.VIEWER)
    elsewhere = a_person(Role.OPERATOR, models=[other.pk])
    a_person(Role.OPERATOR, is_active=False)
    writer, _ = a_key("registry.write")
    a_key("predict")
    a_key("registry.write", models=[other.pk])
    revoked, _ = a_key("registry.write")
    revoke_key(key=revoked, by=an_actor())

    found = _who(model)

    assert found["set the split"] == ([operator], [writer.name])
    assert found["approve requests"] == ([approver], [])
    assert elsewhere.username in _who(other)["set the split"][0]


def test_a_page_of_many_people_stays_short(client, viewer, django_assert_max_num_queries):
    model = a_live_model(100)
    for _ in range(15):
        a_person(Role.OPERATOR)
    _page(client, model, tab="access")

    with django_assert_max_num_queries(40):
        text = _page(client, model, tab="access").text

    assert "and 3 more" in text


def test_a_version_tells_its_relatives_and_where_it_is_live(client, viewer):
    model, file = a_live_model(100, slug="engine"), a_file()
    parent = model.versions.get()
    child = a_version(model, file=file, derived_from=parent)
    twin = a_version(a_model("tender"), file=file)

    of_parent, of_child = (_page(client, row).text for row in (parent, child))

    assert "engine 2" in of_parent.partition("Derived versions")[2].partition("</div>")[0]
    assert "live now" in of_parent
    assert "@champion" in of_parent
    assert "engine 1" in of_child.partition("Derived from")[2].partition("</div>")[0]
    assert str(twin) in of_child.partition("Same file")[2].partition("</div>")[0]
    assert "Never live" in of_child


def test_a_version_tells_the_sizes_that_were_given_and_what_was_done_to_its_files(client, viewer):
    origin = {
        "files": [{"name": "<b>.zip", "sha256": "0" * 64, "size_bytes": 2048}],
        "changes": ["<b>.onnx was taken out of <b>.zip."],
    }
    version = an_uploaded_version(input_shapes={"images": [1, 3, 320, 320], "scale": []}, origin=origin)
    plain = an_uploaded_version()

    told, nothing = (_page(client, one, tab="overview").text for one in (version, plain))

    assert "images: 1 × 3 × 320 × 320" in told and "scale: one value" in told
    assert "&lt;b&gt;.zip</span>, 2" in told
    assert "&lt;b&gt;.onnx was taken out of &lt;b&gt;.zip." in told
    for words in ("Input sizes", "Uploaded files", "Changed at upload"):
        assert words in told and words not in nothing


def test_relatives_out_of_reach_are_not_named(client, signed_in):
    file = a_file()
    mine, hidden = a_version(a_model("mine"), file=file), a_version(a_model("hidden-one"), file=file)
    signed_in(Role.VIEWER, models=[mine.model_id])

    text = _page(client, mine).text

    assert "hidden-one" not in text
    assert hidden.number == 1


def _checked(version, *, days_ago=0, number=1, state="failed"):
    now = timezone.now() - timedelta(days=days_ago)
    return CheckRun.objects.create(
        version=version, number=number, state=state, reason="the file is torn" if state == "failed" else "",
        runtime_version="1", asked_by="tester", started_at=now, ended_at=now,
    )  # fmt: skip


@pytest.mark.both
def test_home_names_versions_whose_newest_check_failed_live_ones_first(client, viewer):
    live, plain = a_live_model(100, slug="live-one").versions.get(), a_version(a_model("plain-one"))
    old, mended = a_version(a_model("old-one")), a_version(a_model("mended-one"))
    _checked(plain)
    _checked(live)
    _checked(old, days_ago=30)
    _checked(mended)
    _checked(mended, number=2, state="passed")

    text = client.get(reverse("admin:index")).text.partition("Needs attention")[2].partition("</section>")[0]

    assert [run.version.model.slug for run in failed_runs(an_actor())] == ["live-one", "plain-one"]
    assert text.index("live-one") < text.index("plain-one")
    assert "the file is torn" in text


def test_home_says_nothing_of_checks_where_none_checked(client, viewer):
    a_live_model(100)

    assert "failed its" not in client.get(reverse("admin:index")).text
    assert Version.objects.count() == 1
