"""Checks that refuse to start an unsafe or unusable installation. docs/configuration.md lists them by id."""

import os
import stat
from importlib import metadata
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.db import connection

from roundhouse.data_folder import GROUP_AND_OTHERS


def _error(number: str, message: str, *, hint: str) -> list[CheckMessage]:
    return [Error(message, hint=hint, id=f"roundhouse.{number}")]


def _warning(number: str, message: str, *, hint: str) -> list[CheckMessage]:
    return [Warning(message, hint=hint, id=f"roundhouse.{number}")]


@register()
def check_debug(**_: Any) -> list[CheckMessage]:
    if settings.DEBUG and settings.PROFILE == "production":
        return _error(
            "E001",
            "Debug pages are on in the production profile. They show settings and source code to anyone.",
            hint="Unset ROUNDHOUSE_DEBUG.",
        )
    return []


@register()
def check_public_url(**_: Any) -> list[CheckMessage]:
    if settings.PROFILE == "production" and not settings.PUBLIC_URL.startswith("https://"):
        return _error(
            "E002",
            "ROUNDHOUSE_PUBLIC_URL is not https. In production, passwords and keys must not cross the network in plain text.",
            hint="Put a TLS proxy in front of Roundhouse, and set ROUNDHOUSE_PUBLIC_URL to its https address.",
        )
    return []


@register()
def check_data_folder(**_: Any) -> list[CheckMessage]:
    """Report a mode that could not be tightened: the folder belongs to another user, or holds other files as well."""
    mode = settings.DATA_DIR.stat().st_mode
    if not mode & GROUP_AND_OTHERS:
        return []
    hint = f"Run chmod 700 {settings.DATA_DIR} as its owner, or set ROUNDHOUSE_DATA to a folder that only Roundhouse uses."
    if mode & stat.S_IRWXO:
        return _error(
            "E008",
            f"Every user of this machine can read the data folder {settings.DATA_DIR} (mode "
            f"{stat.S_IMODE(mode):04o}). It holds sessions, keys and models.",
            hint=hint,
        )
    return _warning(
        "W003",
        f"The group of the data folder {settings.DATA_DIR} can read it (mode {stat.S_IMODE(mode):04o}).",
        hint=hint,
    )


@register()
def check_sqlite(**_: Any) -> list[CheckMessage]:
    if connection.vendor != "sqlite":
        return []
    options = settings.DATABASES["default"].get("OPTIONS", {})
    if options.get("transaction_mode") != "IMMEDIATE" or "journal_mode=WAL" not in options.get(
        "init_command", ""
    ):
        return _error(
            "E003",
            "SQLite does not use WAL with IMMEDIATE transactions. Writes would fail with 'database is locked'.",
            hint="Restore the database OPTIONS in roundhouse/settings.py.",
        )
    return []


@register()
def check_one_runtime(**_: Any) -> list[CheckMessage]:
    installed = [name for name in ("onnxruntime", "onnxruntime-gpu") if _is_installed(name)]
    if len(installed) == 1:
        return []
    return _error(
        "E004",
        f"Exactly one ONNX Runtime package must be installed; found {' and '.join(installed) or 'none'}.",
        hint="Uninstall both packages, then install the one that requirements/base.txt lists for this machine.",
    )


@register()
def check_runtime_environment(**_: Any) -> list[CheckMessage]:
    if os.environ.get("ORT_LOAD_CONFIG_FROM_MODEL"):
        return _error(
            "E005",
            "ORT_LOAD_CONFIG_FROM_MODEL is set. It lets model files change the runtime's configuration.",
            hint="Unset it.",
        )
    return []


@register("redis")
def check_redis(**_: Any) -> list[CheckMessage]:
    """Check Redis's eviction policy and version. A Redis that evicts keys loses queued tasks."""
    if not settings.REDIS_URL:
        return []
    import redis

    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=3, socket_connect_timeout=3) as client:
            policy = client.info("memory").get("maxmemory_policy")
            release = str(client.info("server").get("redis_version", "0"))
    except redis.RedisError as error:
        return _warning(
            "W001",
            f"Redis is not responding ({type(error).__name__}), so its eviction policy could not be checked.",
            hint="Start Redis, or correct ROUNDHOUSE_REDIS_URL.",
        )
    if policy != "noeviction":
        return _error(
            "E006",
            f"Redis may evict keys (maxmemory-policy is {policy}). Queued tasks could be lost.",
            hint="Set maxmemory-policy to noeviction in Redis's configuration.",
        )
    if not _is_recent(release):
        return _error(
            "E007",
            f"Redis {release} is too old: a job submitted through Celery is lost if the worker that reads it dies.",
            hint="Use Redis 6.2 or later.",
        )
    return []


def _is_recent(release: str) -> bool:
    parts = tuple(int(part) if part.isdigit() else 0 for part in release.split(".")[:2])
    return parts >= (6, 2)


@register()
def check_proxies(**_: Any) -> list[CheckMessage]:
    if settings.PROFILE == "production" and settings.TRUSTED_PROXIES == 0:
        return _warning(
            "W002",
            "No proxy is trusted, so requests that reach a proxy over https look like http.",
            hint="Set ROUNDHOUSE_TRUSTED_PROXIES to the number of proxies in front of Roundhouse.",
        )
    return []


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
