"""The Traffic panels: by arm, by minute and by hour."""

import json
import re
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from inference.measure import compaction, selectors
from inference.measure.counts import NO_VERSION
from inference.measure.models import ArmMinute
from inference.measure.traffic import latency, per_second, percent
from registry.access.policies import Role
from registry.record.audit import AuditSubject
from registry.record.events import emit
from registry.traffic.models import Hold
from tests.support.factories import a_live_model, a_person, a_split

NOW = timezone.now().replace(minute=30, second=30, microsecond=0)
END = NOW.replace(second=0)


@pytest.fixture(autouse=True)
def half_past(monkeypatch):
    monkeypatch.setattr(selectors.timezone, "now", lambda: NOW)


@pytest.fixture
def page(client, db):
    client.force_login(a_person(Role.OPERATOR))

    def read(row, tab="traffic", **query):
        address = reverse(f"admin:registry_{row._meta.model_name}_change", args=[row.pk])
        text = client.get(address, {"tab": tab, **query}).content.decode()
        return text.partition('id="rh-measured"')[2].partition("</section>")[0]

    return read


def measured(model, number, *, ago, ok=0, bucket=40, process="one", letter=None, split=1, **failed):
    """Count for a version that many minutes ago."""
    version = model.versions.get(number=number)
    if letter is None:
        letter = version.arms.get(split__model=model, split__number=split).letter
    ArmMinute.objects.create(
        minute=END - timedelta(minutes=ago), process=process, model_id=model.pk, split=split, arm=letter,
        version_id=version.pk, ok=ok, seconds=0.0, buckets={str(bucket): ok} if ok else {},
        **{"errors": 0, "refused": 0, **failed},
    )  # fmt: skip


def current(model, split, *, ago, until=None):
    """Make a split current from so many minutes ago, until so many minutes ago."""
    to_at = END - timedelta(minutes=until) if until is not None else None
    model.splits.filter(number=split).update(from_at=END - timedelta(minutes=ago), to_at=to_at)


def cells(text, table):
    """The rows of a table as texts."""
    body = text.partition(table)[2].partition("<tbody>")[2].partition("</tbody>")[0]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.S) for row in body.split("</tr>")]
    return [[" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in row] for row in rows if row]


def test_the_table_of_arms_adds_processes_up_and_compares_shares(page):
    model = a_live_model(80, 20)
    current(model, 1, ago=120)
    for process in ("one", "two"):
        measured(model, 1, ago=3, ok=300, process=process)
        measured(model, 2, ago=2, ok=95, errors=5, refused=100, bucket=60, process=process)

    rows = cells(page(model), "rh-arms")

    assert [row[:6] for row in rows] == [
        ["version 1 split 1", "80 %", "60.0 %", "600 0.17 per second", "0 % 0 failed", "0"],
        ["version 2 split 1", "20 %", "40.0 %", "400 0.11 per second", "5.0 % 10 failed", "200"],
    ]
    assert rows[0][6:] == ["1 ms"] * 3
    assert rows[1][6:] == ["33 ms"] * 3


def test_versions_named_by_callers_have_their_own_line_and_no_share(page):
    model = a_live_model(100)
    current(model, 1, ago=120)
    measured(model, 1, ago=1, ok=10)
    measured(model, 1, ago=1, ok=30, letter="")

    rows = cells(page(model), "rh-arms")

    assert [row[:4] for row in rows] == [
        ["version 1 split 1", "100 %", "100 %", "10 0.0028 per second"],
        ["version 1 requested directly", "–", "–", "30 0.0083 per second"],
    ]


def test_older_splits_keep_their_own_lines(page):
    model = a_live_model(50, 50)
    measured(model, 1, ago=9, ok=10)
    a_split(model, 10, 90)
    measured(model, 1, ago=1, ok=10, split=2)
    current(model, 1, ago=120, until=7)
    current(model, 2, ago=7)

    rows = cells(page(model), "rh-arms")

    changed = f"{END - timedelta(minutes=7):%H:%M}"
    assert [row[:2] for row in rows] == [
        [f"version 1 split 2, live from {changed}", "10 %"],
        [f"version 1 split 1, live {END - timedelta(hours=1):%H:%M} – {changed}", "50 %"],
    ]


def test_an_arms_rate_is_over_the_time_its_split_was_current(page):
    model = a_live_model(50, 50)
    a_split(model, 10, 90)
    current(model, 1, ago=12, until=2)
    current(model, 2, ago=2)
    for ago in (12, 4):
        measured(model, 1, ago=ago, ok=300)
    measured(model, 2, ago=1, ok=360, split=2)
    measured(model, 1, ago=1, ok=40, split=2)

    rows = cells(page(model), "rh-arms")

    assert [row[2:4] for row in rows] == [
        ["10.0 %", "40 0.33 per second"],
        ["90.0 %", "360 3 per second"],
        ["100 %", "600 1 per second"],
    ]


def test_answers_counted_after_their_split_ended_have_no_rate(page):
    model = a_live_model(50, 50)
    a_split(model, 10, 90)
    current(model, 1, ago=120, until=60)
    current(model, 2, ago=60)
    measured(model, 1, ago=60, ok=3)

    assert [row[:4] for row in cells(page(model), "rh-arms")] == [
        ["version 1 split 1", "50 %", "100 %", "3 – per second"]
    ]


def test_each_minute_has_a_line_newest_first(page):
    model = a_live_model(50, 50)
    for ago, ok in ((3, 60), (1, 120)):
        measured(model, 1, ago=ago, ok=ok)
    measured(model, 2, ago=1, ok=40)

    rows = cells(page(model), "rh-each")

    def at(ago):
        return f"{END - timedelta(minutes=ago):%H:%M}"

    assert [row[:5] for row in rows] == [
        [at(1), "1", "75.0 %", "120", "2"],
        [at(1), "2", "25.0 %", "40", "0.67"],
        [at(3), "1", "100 %", "60", "1"],
    ]


@pytest.mark.parametrize(("period", "expected"), [("hour", 10), ("day", 30), ("week", 60), ("nonsense", 10)])
def test_periods_are_switched_by_a_link(page, period, expected):
    model = a_live_model(100)
    measured(model, 1, ago=5, ok=10)
    measured(model, 1, ago=3 * 60, ok=20)
    measured(model, 1, ago=50 * 60, ok=30)

    text = page(model, figures=period)

    assert cells(text, "rh-arms")[0][3].startswith(f"{expected} ")
    assert "?figures=day#rh-measured" in text


@pytest.mark.both
@pytest.mark.parametrize("period", ["hour", "day", "week"])
def test_a_page_says_the_same_before_and_after_merging(page, monkeypatch, period):
    model = a_live_model(50, 50)
    for ago in (1, 5, 70, 71, 300, 2 * 24 * 60 + 100, 2 * 24 * 60 + 101):
        for process in ("one", "two"):
            measured(model, 1, ago=ago, ok=ago, process=process, bucket=30 + ago % 20)
            measured(model, 2, ago=ago, ok=7, errors=1, process=process)
    before = page(model, figures=period)

    compaction.merge_measurements()

    assert page(model, figures=period) == before


def test_a_version_shows_its_own_arms_only(page):
    model = a_live_model(80, 20)
    current(model, 1, ago=120)
    measured(model, 1, ago=3, ok=300)
    measured(model, 2, ago=3, ok=100)

    text = page(model.versions.get(number=2))

    assert [row[:3] for row in cells(text, "rh-arms")] == [["version 2 split 1", "20 %", "25.0 %"]]
    assert [row[1] for row in cells(text, "rh-each")] == ["2"]
    assert "p50, p95, p99" in text


def test_the_page_says_how_recent_its_data_is(page):
    model = a_live_model(100)
    measured(model, 1, ago=4, ok=1)

    text = page(model)

    assert f"Data up to <b>{END - timedelta(minutes=3):%H:%M}</b> (UTC)" in text
    assert "at most its last minute" in text


def test_the_page_says_what_a_killed_process_took_with_it(page):
    model = a_live_model(100)
    said = "The web process 42 on steamer ended without signing off."
    for kind in ("web", "worker"):
        data = {"kind": kind, "last_seen": (END - timedelta(seconds=20)).isoformat()}
        with transaction.atomic():
            emit(
                "worker_lost",
                subject=AuditSubject("engine", kind, kind),
                data=data,
                summary=said.replace("web", kind),
            )

    text = page(model)

    assert said in text
    assert f"from {END - timedelta(minutes=1):%H:%M} onwards are missing here" in text
    assert "worker process" not in text  # it counts nothing that a page shows


def test_empty_pages_say_what_to_do(page):
    never, lately = a_live_model(100), a_live_model(100)
    measured(lately, 1, ago=100, ok=1)

    assert "Try it" in page(never)
    assert f"{END - timedelta(minutes=100):%H:%M}<" in page(lately)
    assert "No requests to" in page(lately)


def test_a_measurement_outlives_its_version_on_the_page(page):
    model = a_live_model(100)
    current(model, 1, ago=120)
    measured(model, 1, ago=1, ok=5)
    ArmMinute.objects.update(version_id=10**9)

    assert cells(page(model), "rh-arms")[0][0] == "a deleted version split 1"


def test_the_panel_lists_what_changed_in_its_period_newest_first(page):
    model, quiet = a_live_model(50, 50), a_live_model(100)
    measured(model, 1, ago=1, ok=5)
    current(model, 1, ago=30)
    current(quiet, 1, ago=10)
    Hold.objects.create(
        model=model, kind="frozen", text="</script><b>", from_at=END - timedelta(minutes=5), begun_by="ann"
    )

    text = page(model)

    listed = text.partition('<ul class="rh-marks">')[2].partition("</ul>")[0]
    hrefs = re.findall(r'href="([^"]+)"', listed)
    assert [href.split("/")[3] for href in hrefs] == ["hold", "split"]
    assert "frozen by ann: &lt;/script&gt;&lt;b&gt;" in listed
    assert len(re.findall(r"<g class=\"rh-mark ", text)) == 2 * 3  # in each of three plots
    data = json.loads(text.partition('<script type="application/json">')[2].partition("</script>")[0])
    assert [mark["kind"] for mark in data["marks"]] == ["deploy", "change"]
    assert data["marks"][1]["text"] == f"{END - timedelta(minutes=5):%H:%M} frozen by ann: </script><b>"
    # Changes are listed even if there were no requests.
    assert "split 1 by" in page(quiet)


def turned_away(model, *, ago, count):
    ArmMinute.objects.create(
        minute=END - timedelta(minutes=ago), process="one", model_id=model.pk, split=1, arm="", version_id=NO_VERSION,
        ok=0, errors=count, refused=0, seconds=0.0, buckets={},
    )  # fmt: skip


def test_requests_refused_by_a_stop_have_their_own_line_and_no_share(page):
    model = a_live_model(80, 20)
    measured(model, 1, ago=3, ok=30)
    measured(model, 2, ago=3, ok=10)
    turned_away(model, ago=3, count=60)
    turned_away(model, ago=2, count=7)

    text = page(model)

    arms = [row[:5] for row in cells(text, "rh-arms")]
    assert arms[-1] == [
        "no version turned away before one was chosen",
        "–",
        "–",
        "67 0.019 per second",
        "100 % 67 failed",
    ]
    assert [arm[2] for arm in arms[:2]] == ["75.0 %", "25.0 %"]
    assert "turned away" in text.partition("rh-legend")[2].partition("</p>")[0]
    assert [row[1:4] for row in cells(text, "rh-each")] == [
        ["none", "–", "7"],
        ["none", "–", "60"],
        ["1", "75.0 %", "30"],
        ["2", "25.0 %", "10"],
    ]


def test_a_version_has_one_look_and_what_was_turned_away_its_own(client, page):
    model = a_live_model(80, 20)
    a_split(model, 20, 80)
    measured(model, 1, ago=3, ok=30)
    turned_away(model, ago=3, count=60)
    measured(model, 2, ago=3, ok=10, split=2)
    address = reverse("admin:registry_model_change", args=[model.pk])

    def looks(text):
        return dict(re.findall(r'rh-curve-(\d)"><polyline points="0,2 24,2"/></g></svg>([^<]+)<', text)[::-1])

    assert looks(page(model)) == {"5": "turned away", "0": "version 1", "1": "version 2"}
    assert looks(page(model.versions.get(number=2)))["1"] == "version 2"
    assert 'class="rh-arm rh-arm-1"' in client.get(address).text.partition("</header>")[0]


def test_home_shows_rates_and_a_sparkline_for_each_model(client, page):
    busy, failing, _idle = (a_live_model(100, slug=slug) for slug in ("busy", "failing", "idle"))
    for ago in range(1, 61):
        measured(busy, 1, ago=ago, ok=600)
    measured(failing, 1, ago=2, ok=90, errors=10)

    text = client.get(reverse("admin:index")).content.decode()
    rows = {row[0]: row for row in cells(text, "rh-models")}

    assert text.count('<td data-label="p95" class="rh-number">') == 3
    assert rows["busy"][4:7] == ["10", "0 %", "1 ms"]
    assert rows["busy"][3].endswith("at most 10, last 10; no errors")
    assert rows["failing"][1] == "errors"
    assert rows["failing"][4:7] == ["0.33", "10.0 %", "1 ms"]
    assert rows["failing"][3].endswith("at most 0.056, last 0.056; errors in 1 of 24")
    assert rows["idle"][3:7] == ["no requests", "0", "–", "–"]


def test_home_asks_the_same_however_much_was_measured(client, page, django_assert_num_queries):
    def add_model():
        model = a_live_model(50, 50)
        for ago in (1, 2):
            measured(model, 1, ago=ago, ok=5)
            measured(model, 2, ago=ago, ok=5)

    add_model()
    client.get(reverse("admin:index"))
    with CaptureQueriesContext(connection) as asked:
        client.get(reverse("admin:index"))
    queries = len(asked)  # now: the next request empties the log
    for _ in range(3):
        add_model()
    client.get(reverse("admin:index"))  # new counts are read once

    assert queries <= 40
    with django_assert_num_queries(queries):
        client.get(reverse("admin:index"))


@pytest.mark.parametrize("kind", ["model", "version"])
def test_a_page_asks_the_same_however_many_arms_there_were(client, page, kind, django_assert_max_num_queries):
    model = a_live_model(50, 50)
    measured(model, 1, ago=1, ok=5)
    for split in range(2, 8):
        a_split(model, 10 * split, 100 - 10 * split)
        measured(model, 1, ago=1, ok=5, split=split)
        measured(model, 2, ago=2, ok=5, split=split)
    row = model if kind == "model" else model.versions.get(number=1)
    page(row)

    with django_assert_max_num_queries(46 if kind == "model" else 39):
        page(row)


SHARES = [
    (0, "0 %"),
    (1, "100 %"),
    (0.9997, "100 %"),
    (0.5, "50.0 %"),
    (0.0042, "0.42 %"),
    (1e-6, "< 0.01 %"),
]
LATENCIES = [
    (0.000012, "0.012 ms"),
    (0.0025, "2.5 ms"),
    (0.033, "33 ms"),
    (0.3, "300 ms"),
    (2.5, "2.5 s"),
    (300, "300 s"),
]
RATES = [(0, "0"), (0.026, "0.026"), (9.17, "9.2"), (12.34, "12.3"), (50, "50"), (12345, "12,345")]


@pytest.mark.parametrize(
    ("words", "value", "text"),
    [
        *((percent, value, text) for value, text in SHARES),
        *((latency, value, text) for value, text in LATENCIES),
        *((per_second, value, text) for value, text in RATES),
    ],
)
def test_a_number_in_words(words, value, text):
    assert words(value) == text
