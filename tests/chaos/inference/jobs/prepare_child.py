"""Makes the tables, and a Model `double` whose versions are these files, the first live; prints a key that may do all."""

import sys
from pathlib import Path

import django

django.setup()

from django.core.management import call_command  # noqa: E402 (needs the apps loaded)

from inference.serving.plans import session_options  # noqa: E402
from registry.access.policies import key_scopes  # noqa: E402
from tests.support.factories import a_key  # noqa: E402
from tests.support.live_models import import_live  # noqa: E402

call_command("migrate", verbosity=0)
for path in sys.argv[1:]:
    import_live(slug="double", path=Path(path), options=session_options())
_key, text = a_key(*key_scopes())
sys.stdout.write(text)
