"""Server time and queries of the console's pages, and of a route table's reload, in a large registry.

    python -m bench.registry_bench                     1,000 Models x 10 Versions, 1,000,000 audit records,
                                                       200 Models asked for 24 hours in 4 processes
    python -m bench.registry_bench --records 10000 --measured 20     quicker

Runs in a database of its own, which is gone afterwards: SQLite, or the server of ROUNDHOUSE_DATABASE_URL.
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]
os.environ["ROUNDHOUSE_DATA"] = tempfile.mkdtemp(prefix="roundhouse-bench-")
os.environ.setdefault("ROUNDHOUSE_ALLOWED_HOSTS", "testserver")
os.environ.setdefault("ROUNDHOUSE_LOG_LEVEL", "error")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "roundhouse.settings")

import django  # noqa: E402

django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext, setup_test_environment  # noqa: E402
from django.utils import timezone  # noqa: E402

from inference.measure.compaction import merge_measurements  # noqa: E402
from inference.measure.models import ArmMinute  # noqa: E402
from inference.serving.routes import EMPTY, RouteTable, read_table  # noqa: E402
from registry.access.policies import Role, command_actor  # noqa: E402
from registry.catalogue.models import (  # noqa: E402
    Alias,
    AliasMove,
    Artifact,
    Model,
    RouteClock,
    ServingSettings,
    Version,
)
from registry.catalogue.serving_settings import DEFAULTS  # noqa: E402
from registry.record.audit import audit_key, record_change  # noqa: E402
from registry.record.chain import SealedRecord, hash_of  # noqa: E402
from registry.record.models import AuditRecord  # noqa: E402
from registry.traffic.models import Arm, Split  # noqa: E402
from registry.traffic.services import set_split  # noqa: E402

ADMIN_LISTS = ["model", "version", "alias", "servingsettings", "artifact", "split", "hold", "auditrecord"]
API_LISTS = [
    "models", "models?tag=none", "models/m-00000/versions", "models/m-00000/aliases", "artifacts",
    "models/m-00000/splits", "live",
]  # fmt: skip
LISTS = [
    "/admin/",
    *(f"/admin/registry/{name}/" for name in ADMIN_LISTS),
    *(f"/api/v1/{path}" for path in API_LISTS),
]
REPEATS = 5
BATCH = 2_000
PROCESSES = 4


def main() -> None:
    options = _options()
    setup_test_environment(debug=False)
    if connection.vendor == "sqlite":  # a file, as in the product
        connection.settings_dict["TEST"]["NAME"] = str(Path(settings.DATA_DIR) / "bench.sqlite3")
    name = connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        reloads = [_measure_reload(count, options.versions) for count in (10, options.models)]
        _fill_records(options.records)
        print(f"{connection.vendor}: {options.models:,} Models x {options.versions} versions, "
              f"{AuditRecord.objects.count():,} audit records")  # fmt: skip
        _print_pages(LISTS)
        _print_measured(options.measured, options.hours)
        for count, once, full in reloads:
            print(f"route table, {count:>5,} Models: {full:8.1f} ms whole, {once:6.2f} ms after one change")
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=int, default=1_000)
    parser.add_argument("--versions", type=int, default=10)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--measured", type=int, default=200, help="Models with measurements")
    parser.add_argument("--hours", type=int, default=24, help="of measurements")
    return parser.parse_args()


def _fill(first: int, count: int, versions_each: int) -> None:
    """Create Models from `first` on, each with versions, a 90/10 split and its champion."""
    now, by = timezone.now(), "bench"
    made = Model.objects.bulk_create(
        Model(
            slug=f"m-{number:05}",
            title=f"Model {number}",
            split_revision=1,
            route_revision=number + 1,
            needs_approval=False,
        )
        for number in range(first, first + count)
    )
    clock = first + count
    if not RouteClock.objects.filter(pk=1).update(revision=clock):
        RouteClock.objects.create(revision=clock, at=now)
    files = Artifact.objects.bulk_create(
        [Artifact(sha256=f"{model.pk:032x}{number:032x}", size_bytes=1234)
         for model in made for number in range(1, versions_each + 1)], BATCH,
    )  # fmt: skip
    versions = Version.objects.bulk_create(
        [
            Version(model=made[i // versions_each], number=i % versions_each + 1, artifact=file, status="ready",
                    signature={"inputs": [], "outputs": []}, made_by=by)
            for i, file in enumerate(files)
        ], BATCH,
    )  # fmt: skip
    ServingSettings.objects.bulk_create(
        [ServingSettings(version=version, revision=1, values=DEFAULTS.to_json(), reason="defaults", made_by=by)
         for version in versions], BATCH,
    )  # fmt: skip
    splits = Split.objects.bulk_create(
        [Split(model=model, number=1, status="current", buckets="a" * 9_000 + "b" * 1_000, salt=model.salt,
               reason="bench", made_by=by, from_at=now) for model in made], 200,
    )  # fmt: skip
    pairs = [
        (split, versions[i * versions_each], versions[i * versions_each + 1])
        for i, split in enumerate(splits)
    ]
    Arm.objects.bulk_create(
        [Arm(split=s, version=v, letter=letter) for s, a, b in pairs for v, letter in ((a, "a"), (b, "b"))],
        BATCH,
    )
    aliases = Alias.objects.bulk_create(
        [Alias(model=s.model, name="champion", version=a) for s, a, _ in pairs], BATCH
    )
    AliasMove.objects.bulk_create(
        [AliasMove(alias=alias, version=alias.version, from_at=now, moved_by=by, reason="bench") for alias in aliases],
        BATCH,
    )  # fmt: skip


def _measure_reload(count: int, versions_each: int) -> tuple[int, float, float]:
    """(Models, ms to reload after one change, ms to read the whole table)."""
    there = Model.objects.count()
    _fill(there, count - there, versions_each)
    whole = _milliseconds(lambda: read_table(EMPTY))
    table = read_table()
    spent = []
    for turn in range(REPEATS):
        _change_one(turn)
        began = time.perf_counter()
        table: RouteTable = read_table(table)
        spent.append((time.perf_counter() - began) * 1_000)
    return count, statistics.median(spent), whole


def _change_one(turn: int) -> None:
    model = Model.objects.order_by("pk")[0]
    first, second = model.versions.order_by("number")[:2]
    set_split(
        model=model,
        arms={first: 8_000 - turn, second: 2_000 + turn},
        reason="bench",
        by=command_actor("registry_bench"),
    )


def _fill_records(count: int) -> None:
    """Add valid records to the chain, so that the list's indexes have their real size."""
    model = Model.objects.order_by("pk")[0]
    last = AuditRecord.objects.order_by("-seq").first() or record_change(
        action="bench", subject=model, before=None, after=None, by=command_actor("registry_bench")
    )
    values = {name: getattr(last, name) for name in SealedRecord._fields}
    slugs = list(Model.objects.values_list("slug", flat=True))
    for batch in _batches(last.seq + 1, last.seq + count):
        rows = []
        for seq in batch:
            slug = slugs[seq % len(slugs)]
            sealed = SealedRecord(**{
                **values, "seq": seq, "previous_hash": last.hash, "model_slug": slug, "object_label": slug,
            })  # fmt: skip
            last = AuditRecord(**sealed._asdict(), hash=hash_of(sealed, audit_key()))
            rows.append(last)
        models.QuerySet(AuditRecord).bulk_create(rows)


def _batches(first: int, end: int) -> Iterator[range]:
    for start in range(first, end, BATCH):
        yield range(start, min(start + BATCH, end))


def _print_measured(measured: int, hours: int) -> None:
    """The pages with measurements: as 4 processes wrote them, then as the beat task merged them."""
    model = Model.objects.order_by("slug")[0]
    version = model.versions.order_by("number")[0]
    pages = [
        "/admin/",
        *(f"/admin/registry/model/{model.pk}/change/?figures={period}" for period in ("hour", "day", "week")),
        f"/admin/registry/version/{version.pk}/change/",
    ]
    now = timezone.now().replace(second=0, microsecond=0)
    # Minutes are merged soon after they are written, so two hours are more than ever waits.
    _fill_measurements(measured, now - timedelta(hours=2), now, PROCESSES)
    print(f"{ArmMinute.objects.count():,} rows of measurements, as {PROCESSES} processes wrote them")
    _print_pages(pages)
    began = time.perf_counter()
    merge_measurements()
    print(f"merged to {ArmMinute.objects.count():,} in {time.perf_counter() - began:.1f} s")
    _fill_measurements(measured, now - timedelta(hours=hours), now - timedelta(hours=2), 1)
    print(f"{ArmMinute.objects.count():,} rows of measurements: {hours} hours, merged")
    _print_pages(pages)


def _fill_measurements(measured: int, start: datetime, end: datetime, processes: int) -> None:
    """Each minute of both arms of `measured` Models, from each process."""
    table = {str(bucket): 1 + bucket % 7 for bucket in range(40, 56)}
    arms = [
        (arm.split.model_id, arm.letter, arm.version_id)
        for arm in Arm.objects.filter(split__status="current").select_related("split").order_by("split__model__slug")
    ][: 2 * measured]  # fmt: skip
    minute = start
    while minute < end:
        ArmMinute.objects.bulk_create(
            [ArmMinute(minute=minute, process=f"host:{process}" if processes > 1 else "", model_id=model_id, split=1,
                       arm=letter, version_id=version_id, ok=random.randrange(500), errors=1, refused=1, seconds=1.0,
                       buckets=table, codes={"overloaded": 1, "invalid_input": 1})
             for process in range(processes) for model_id, letter, version_id in arms], BATCH,
        )  # fmt: skip
        minute += timedelta(minutes=1)


def _print_pages(pages: list[str]) -> None:
    client = _signed_in()
    for page in pages:
        answer = client.get(page)
        if answer.status_code != 200:
            print(f"{page:44} answered {answer.status_code}")
            continue
        with CaptureQueriesContext(connection) as asked:
            client.get(page)
        queries = len(asked)  # now: the next request empties the log
        spent = _milliseconds(lambda page=page: client.get(page))
        busy = _milliseconds(lambda page=page: client.get(page), time.thread_time)
        print(f"{page:48} {queries:3} queries {spent:8.1f} ms, {busy:6.1f} ms of the processor")


def _signed_in() -> Client:
    from django.contrib.auth.models import Group

    person, _ = User.objects.get_or_create(username="bench", is_staff=True)
    person.groups.set([Group.objects.get_or_create(name=role)[0] for role in (Role.OPERATOR, Role.ADMIN)])
    client = Client()
    client.force_login(person)
    return client


def _milliseconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    spent = []
    for _ in range(REPEATS):
        began = clock()
        work()
        spent.append((clock() - began) * 1_000)
    return statistics.median(spent)


if __name__ == "__main__":
    main()
