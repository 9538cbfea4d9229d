"""`manage.py serve` with web processes that run bench.serving.slow_web."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    sys.path[:0] = [str(ROOT / "platform"), str(ROOT)]
    os.environ["DJANGO_SETTINGS_MODULE"] = "roundhouse.settings"
    from django.core.management import execute_from_command_line

    from roundhouse import command_lines

    web = command_lines.web

    def slow_web() -> list[str]:
        *flags, entry = web()
        if entry != "roundhouse.web:application":
            raise SystemExit(f"slow_serve does not know the entry point {entry}.")
        return [*flags, "bench.serving.slow_web:application"]

    command_lines.SERVICES["web"] = slow_web
    execute_from_command_line(["manage.py", "serve"])


if __name__ == "__main__":
    main()
