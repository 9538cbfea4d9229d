"""Every error class of ours, whether or not anything has imported it yet."""

import importlib
import pkgutil
from functools import cache

from inference.checks.frames import FrameTooLarge
from inference.tensors.errors import InferenceError
from registry.errors import RoundhouseError

ROOTS = (RoundhouseError, InferenceError)
# Raised as they are nowhere, or caught where they are raised: what is made of them has a class of its own.
NEVER_TOLD = {*ROOTS, FrameTooLarge}
PACKAGES = ("registry", "inference", "moderation", "roundhouse")
STARTS_A_PROCESS = {"roundhouse.web"}


@cache
def told_errors() -> list[type[Exception]]:
    """Those that a caller can be told of."""
    for top in PACKAGES:
        for found in pkgutil.walk_packages(importlib.import_module(top).__path__, f"{top}."):
            if found.name not in STARTS_A_PROCESS and ".migrations." not in found.name:
                importlib.import_module(found.name)
    kinds = [kind for root in ROOTS for kind in _family(root) if kind not in NEVER_TOLD]
    return [kind for kind in kinds if kind.__module__.partition(".")[0] in PACKAGES]  # tests have some too


def _family(kind: type[Exception]) -> list[type[Exception]]:
    return [kind, *(one for child in kind.__subclasses__() for one in _family(child))]
