"""A worker process that takes one version's check and never comes to its end: its file hangs in the probe."""

import sys
from functools import partial
from pathlib import Path

import django

django.setup()

from django.conf import settings  # noqa: E402 (needs the apps loaded)
from django.db import connection  # noqa: E402

connection.settings_dict["NAME"], settings.DATA_DIR = sys.argv[1], Path(sys.argv[2])

from inference.checks.steps import structure  # noqa: E402
from inference.tasks import check_version  # noqa: E402

structure.probe = partial(structure.probe, backend="tests.support.hostile:HangingInRun")
check_version.apply(args=[int(sys.argv[3])])
