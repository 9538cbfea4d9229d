"""Gives a version all traffic, and asks no engine whether it is warm; says the split's number."""

import sys

import django

django.setup()

from registry.access.policies import command_actor  # noqa: E402 (needs the apps loaded)
from registry.catalogue.models import Version  # noqa: E402
from registry.traffic.assignment import WHOLE  # noqa: E402
from registry.traffic.readiness import READINESS, ReadinessCheck  # noqa: E402
from registry.traffic.services import set_split  # noqa: E402

version = Version.objects.select_related("model").get(model__slug="double", number=int(sys.argv[1]))
with READINESS.changed(engines=ReadinessCheck()):
    split = set_split(model=version.model, arms={version: WHOLE}, reason="a test", by=command_actor("test"))
sys.stdout.write(str(split.number))
