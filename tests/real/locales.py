"""The locale that text models of scikit-learn ask for, built from the distribution's sources where they are."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from examples.real.packages import REAL

NAME = "en_US.UTF-8"
_SOURCES = Path("/usr/share/i18n/locales/en_US")


@cache
def locale_folder() -> Path | None:
    """What LOCPATH should say; none where this machine cannot build a locale."""
    folder = REAL / "locale"
    if not (folder / NAME).exists():
        if shutil.which("localedef") is None or not _SOURCES.exists():
            return None
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["localedef", "--no-archive", "-i", "en_US", "-f", "UTF-8", folder / NAME], check=True)
    return folder


def use_locale() -> None:
    """Let this process and those that it starts find the locale."""
    folder = locale_folder()
    if folder is not None:
        os.environ["LOCPATH"] = str(folder)
