"""Checks that refuse an unsafe or impossible start. Each has an id; docs/configuration.md lists them."""

import os
import stat
from importlib import metadata
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.db import connection

from roundhouse.private_files import OF_OTHERS


@register()
def check_debug(**_: Any) -> list[CheckMessage]:
    if settings.DEBUG and settings.PROFILE == "production":
        return [
            Error(
                "Debug pages are on in the production profile; they show settings and source to strangers.",
                hint="Unset ROUNDHOUSE_DEBUG.",
                id="roundhouse.E001",
            )
        ]
    return []


@register()
def check_public_url(**_: Any) -> list[CheckMessage]:
    if settings.PROFILE == "production" and not settings.PUBLIC_URL.startswith("https://"):
        return [
            Error(
                "The production profile is reached over plain http; passwords and keys would cross the network readable.",
                hint="Put a TLS proxy in front and set ROUNDHOUSE_PUBLIC_URL to its https address.",
                id="roundhouse.E002",
            )
        ]
    return []


@register()
def check_data_folder(**_: Any) -> list[CheckMessage]:
    """Look at the mode that the start could not narrow: the folder is another user's, or holds other things as well."""
    mode = settings.DATA_DIR.stat().st_mode
    if not mode & OF_OTHERS:
        return []
    hint = f"As its owner: chmod 700 {settings.DATA_DIR}. Or set ROUNDHOUSE_DATA to a folder of Roundhouse's own."
    if mode & stat.S_IRWXO:
        return [
            Error(
                f"Every user of this machine can reach into the data folder {settings.DATA_DIR} (mode "
                f"{stat.S_IMODE(mode):04o}), which holds sessions, keys and models.",
                hint=hint,
                id="roundhouse.E008",
            )
        ]
    return [
        Warning(
            f"The group of the data folder {settings.DATA_DIR} can reach into it (mode {stat.S_IMODE(mode):04o}).",
            hint=hint,
            id="roundhouse.W003",
        )
    ]


@register()
def check_sqlite(**_: Any) -> list[CheckMessage]:
    if connection.vendor != "sqlite":
        return []
    options = settings.DATABASES["default"].get("OPTIONS", {})
    if options.get("transaction_mode") != "IMMEDIATE" or "journal_mode=WAL" not in options.get(
        "init_command", ""
    ):
        return [
            Error(
                "SQLite is not set to WAL with IMMEDIATE transactions; writes would fail with 'database is locked'.",
                hint="Keep the OPTIONS of roundhouse/settings.py.",
                id="roundhouse.E003",
            )
        ]
    return []


@register()
def check_one_runtime(**_: Any) -> list[CheckMessage]:
    installed = [name for name in ("onnxruntime", "onnxruntime-gpu") if _is_installed(name)]
    if len(installed) == 1:
        return []
    return [
        Error(
            f"Exactly one ONNX Runtime must be installed; found {' and '.join(installed) or 'none'}.",
            hint="Uninstall both, then install the one that requirements/base.txt names for this machine.",
            id="roundhouse.E004",
        )
    ]


@register()
def check_runtime_environment(**_: Any) -> list[CheckMessage]:
    if os.environ.get("ORT_LOAD_CONFIG_FROM_MODEL"):
        return [
            Error(
                "ORT_LOAD_CONFIG_FROM_MODEL is set: model files could change how the runtime is configured.",
                hint="Unset it.",
                id="roundhouse.E005",
            )
        ]
    return []


@register("redis")
def check_redis(**_: Any) -> list[CheckMessage]:
    """Ask Redis for its eviction policy: one that evicts would throw queued tasks away."""
    if not settings.REDIS_URL:
        return []
    import redis

    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=3, socket_connect_timeout=3) as client:
            policy = client.info("memory").get("maxmemory_policy")
            release = str(client.info("server").get("redis_version", "0"))
    except redis.RedisError as error:
        return [
            Warning(
                f"Redis does not answer ({type(error).__name__}), so its eviction policy could not be checked.",
                hint="Check ROUNDHOUSE_REDIS_URL; start Redis.",
                id="roundhouse.W001",
            )
        ]
    if policy != "noeviction":
        return [
            Error(
                f"Redis may evict keys (maxmemory-policy is {policy}); queued tasks could vanish.",
                hint="Set maxmemory-policy to noeviction.",
                id="roundhouse.E006",
            )
        ]
    if not _is_recent(release):
        return [
            Error(
                f"Redis {release} cannot hold a message for a worker that may die; orders of other applications would be lost.",
                hint="Use Redis 6.2 or later.",
                id="roundhouse.E007",
            )
        ]
    return []


def _is_recent(release: str) -> bool:
    parts = tuple(int(part) if part.isdigit() else 0 for part in release.split(".")[:2])
    return parts >= (6, 2)


@register()
def check_proxies(**_: Any) -> list[CheckMessage]:
    if settings.PROFILE == "production" and settings.TRUSTED_PROXIES == 0:
        return [
            Warning(
                "No proxy is trusted, so https requests that come through one look like http.",
                hint="Set ROUNDHOUSE_TRUSTED_PROXIES to the number of proxies in front.",
                id="roundhouse.W002",
            )
        ]
    return []


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
