"""How much memory the warm versions of a process may take here, and how much of it the batches of one."""

from django.conf import settings

from registry.catalogue.serving_settings import ServingValues

# The batches of one version may take an eighth of an engine's share, unless its settings say otherwise.
BATCH_PART = 8


def engines_here() -> int:
    """The engines that share this host's memory: those of the web processes, if these run versions, and the worker's."""
    return 1 if settings.EXECUTOR == "workers" else settings.WEB_PROCESSES + 1


def share_bytes() -> int:
    """What one engine may hold."""
    return int(settings.SESSION_MEMORY_BYTES) // engines_here()


def batch_memory_bytes(values: ServingValues) -> int:
    """What the runs of this version's largest batch may take beside the loaded file."""
    return values.batch_memory_bytes or share_bytes() // BATCH_PART
