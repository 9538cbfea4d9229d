"""The only reader of the environment: one table of variables. All problems are reported together."""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "ROUNDHOUSE_"


class BadEnvironment(Exception):
    """Some ROUNDHOUSE_ variables have values that cannot be used."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        lines = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(
            f"Roundhouse cannot start: {len(problems)} setting(s) need attention.\n{lines}\n"
            "docs/configuration.md explains every variable."
        )


def _text(raw: str) -> str:
    return raw


def _flag(raw: str) -> bool:
    lowered = raw.lower()
    if lowered in {"1", "true", "yes", "on"}:
        return True
    if lowered in {"0", "false", "no", "off"}:
        return False
    raise ValueError("use true or false")


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(raw: str) -> int:
        if raw.isascii() and raw.isdigit() and low <= int(raw) <= high:
            return int(raw)
        raise ValueError(f"use a whole number from {low:,} to {high:,}")

    return read


def _one_of(*choices: str) -> Callable[[str], str]:
    def read(raw: str) -> str:
        if raw in choices:
            return raw
        raise ValueError(f"use one of: {', '.join(choices)}")

    return read


_FORMATS = ("saved_model", "tflite", "torchscript", "skops", "xgboost", "lightgbm", "pickle")


def _formats(raw: str) -> frozenset[str]:
    names = frozenset(_words(raw))
    if unknown := sorted(names - set(_FORMATS)):
        raise ValueError(f"{unknown[0]!r} is no format; use some of: {', '.join(_FORMATS)}")
    return names


def _words(raw: str) -> list[str]:
    return [word.strip() for word in raw.split(",") if word.strip()]


def _hosts(raw: str) -> list[str]:
    hosts = _words(raw)
    for host in hosts:
        if host == "*":
            raise ValueError(
                "name the hosts; with '*' any website could attack this server through its visitors' browsers"
            )
        if "/" in host:
            raise ValueError("use host names only, without scheme or path, such as models.example.org")
    return hosts


def _folder(raw: str) -> Path:
    path = Path(raw).expanduser()
    return path if path.is_absolute() else ROOT / path


def _web_address(raw: str) -> str:
    parts = urlsplit(raw)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/"):
        raise ValueError("use scheme and host only, without a path, such as https://models.example.org")
    return raw.rstrip("/")


def _secret(raw: str) -> str:
    if len(raw) < 32:
        raise ValueError("use at least 32 characters; `openssl rand -base64 48` prints a good one")
    return raw


def _smtp(raw: str) -> dict[str, Any]:
    parts = urlsplit(raw)
    if parts.scheme not in {"smtp", "smtp+tls", "smtps"} or not parts.hostname:
        raise ValueError("use smtp://user:password@host:25, smtp+tls:// for STARTTLS or smtps:// for TLS")
    return {
        "host": parts.hostname,
        "port": parts.port or {"smtp": 25, "smtp+tls": 587, "smtps": 465}[parts.scheme],
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "starttls": parts.scheme == "smtp+tls",
        "tls": parts.scheme == "smtps",
    }


def _mail_address(raw: str) -> str:
    name, _, domain = raw.rpartition("@")
    if not name or "." not in domain or any(character.isspace() for character in raw):
        raise ValueError("use an address such as roundhouse@example.org")
    return raw


def _reachable_hosts(raw: str) -> list[tuple[str, int | None]]:
    return [_reachable_host(word) for word in _words(raw)]


def _reachable_host(word: str) -> tuple[str, int | None]:
    parts = urlsplit(f"//{word}")
    if not parts.hostname or parts.path or parts.username is not None or "*" in word:
        raise ValueError("use host or host:port, such as hooks.internal:8443, separated by commas")
    return parts.hostname, parts.port


def _database(raw: str) -> dict[str, Any]:
    parts = urlsplit(raw)
    if parts.scheme in {"postgres", "postgresql"} and len(parts.path) > 1:
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(parts.path[1:]),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": parts.hostname or "",
            "PORT": str(parts.port or ""),
        }
    raise ValueError(
        "use postgresql://user:password@host:5432/name, or leave it unset for SQLite in the data folder"
    )


def _redis(raw: str) -> str:
    parts = urlsplit(raw)
    if parts.scheme not in {"redis", "rediss"} or not parts.hostname:
        raise ValueError("use redis://host:6379/0 (rediss:// for TLS), or leave it unset")
    if not parts.path.strip("/").isdigit():
        raise ValueError("end the address with a database number that only Roundhouse uses, such as /0")
    return raw


def _pool(raw: str) -> str:
    if re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?", raw):
        return raw
    raise ValueError("use 1 to 64 lower-case letters, digits and inner hyphens, such as gpu-large")


def _absolute_folders(raw: str) -> list[Path]:
    folders = [Path(word) for word in _words(raw)]
    for folder in folders:
        if not folder.is_absolute() or ".." in folder.parts or folder == Path("/"):
            raise ValueError("use absolute folder paths other than /, separated by commas")
    return folders


_WITH_DEFAULTS = ("predict", "classify", "classify-images", "detect", "entities", "rank", "recommend")


def _default_models(raw: str) -> dict[str, str]:
    models = {}
    for word in _words(raw):
        name, _, model = word.partition("=")
        if name not in _WITH_DEFAULTS or not model or name in models:
            raise ValueError(
                f"use classify=MODEL and the like, separated by commas; the names are {', '.join(_WITH_DEFAULTS)}"
            )
        models[name] = model
    return models


def _bundle_keys(raw: str) -> dict[str, str]:
    keys: dict[str, str] = {}
    for word in _words(raw):
        name, _, secret = word.partition("=")
        if (
            not re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?", name)
            or len(secret) < 32
            or name in keys
        ):
            raise ValueError("use NAME=SECRET, as `manage.py bundle_key NAME` prints it, separated by commas")
        keys[name] = secret
    return keys


def _item_hosts(raw: str) -> list[str]:
    hosts = [host.lower() for host in _words(raw)]
    for host in hosts:
        if not re.fullmatch(r"\*|(\*\.)?[a-z0-9][a-z0-9.-]*", host):
            raise ValueError(
                "use host names such as images.example.org or *.example.org, or * for every public host"
            )
    return hosts


def _artifact_store(raw: str) -> str:
    parts = urlsplit(raw)
    if parts.scheme != "s3" or not parts.hostname or parts.query or "@" in parts.netloc:
        raise ValueError(
            "use s3://bucket/prefix, with credentials in the AWS_ variables, or leave it unset for the data folder"
        )
    return raw.rstrip("/")


@dataclass(frozen=True, slots=True)
class Variable:
    """One row of docs/configuration.md."""

    name: str
    read: Callable[[str], Any]
    default: str | None
    means: str
    is_secret: bool = False


VARIABLES = (
    Variable("PROFILE", _one_of("embedded", "production"), "embedded",
             "`embedded` runs on one machine and needs nothing else installed. "
             "`production` requires PostgreSQL, Redis and secrets that you set."),
    Variable("DATA", _folder, "var", "Folder for the database file, artifacts, broker files and generated keys. "
             "Its mode is 0700: only the user that Roundhouse runs as can read it."),
    Variable("BIND", _text, "127.0.0.1", "Address that the web server listens on."),
    Variable("PORT", _whole(1, 65_535), "8000", "Port that the web server listens on."),
    Variable("PUBLIC_URL", _web_address, None,
             "Address that people use, such as `https://models.example.org`. With https, cookies are sent over TLS only."),
    Variable("ALLOWED_HOSTS", _hosts, "localhost,127.0.0.1,[::1]",
             "Host names that this server answers to, separated by commas. The host of `PUBLIC_URL` is added."),
    Variable("TRUSTED_PROXIES", _whole(0, 10), "0",
             "Number of proxies in front of the server that it trusts for the client's address and for TLS."),
    Variable("SECRET_KEY", _secret, None,
             "Signs sessions. If unset, the embedded profile creates one in the data folder.", is_secret=True),
    Variable("DATABASE_URL", _database, None,
             "PostgreSQL, `postgresql://user:password@host:5432/name`. If unset: SQLite in the data folder.", is_secret=True),
    Variable("REDIS_URL", _redis, None,
             "Redis with a database number that only Roundhouse uses, `redis://host:6379/0`. "
             "If unset: tasks are passed as files in the data folder.", is_secret=True),
    Variable("AUDIT_KEY", _secret, None,
             "Seals the audit records. Keep it outside the database. "
             "If unset, the embedded profile creates one in the data folder.", is_secret=True),
    Variable("BUNDLE_SECRET", _secret, None,
             "Signs the bundles of versions that are exported here ([bundles.md](bundles.md)). "
             "If unset, the embedded profile creates one in the data folder, and in production nothing can be exported.",
             is_secret=True),
    Variable("TRUSTED_BUNDLE_KEYS", _bundle_keys, "",
             "Whose bundles may be imported here: `NAME=SECRET` for each installation, separated by commas, as "
             "`manage.py bundle_key NAME` prints it there. Empty: nobody's.", is_secret=True),
    Variable("FETCH_ALLOWED_HOSTS", _reachable_hosts, "",
             "Private hosts, or `host:port`, that webhooks and other fetches are allowed to reach."),
    Variable("ITEM_HOSTS", _item_hosts, "",
             "Hosts from which pictures are fetched that requests and jobs name by `image_url`: names, `*.example.org`, or `*` "
             "for every public host. Empty: none. A private host must be in `FETCH_ALLOWED_HOSTS` and be named here in full: "
             "`*` and `*.example.org` match no host of that list."),
    Variable("SMTP_URL", _smtp, None,
             "Mail server for events: `smtp://user:password@host:25`, `smtp+tls://` for STARTTLS, `smtps://` for TLS.",
             is_secret=True),
    Variable("MAIL_FROM", _mail_address, None, "Sender of mail about events, such as `roundhouse@example.org`."),
    Variable("ARTIFACT_STORE_URL", _artifact_store, None,
             "Where model files are stored: `s3://bucket/prefix`, with credentials, region and endpoint from the usual "
             "`AWS_` variables. If unset: the data folder, which all processes must then share."),
    Variable("UPLOAD_MB", _whole(1, 1_048_576), "2048", "Largest model file that can be uploaded, in MiB."),
    Variable("FORMATS", _formats, "",
             "Formats other than ONNX that are converted when they are uploaded, separated by commas: `saved_model`, `tflite`, "
             "`torchscript`, `skops`, `xgboost`, `lightgbm`, `pickle`. Each also needs its converter: "
             "`manage.py install_converter`. Empty: only ONNX."),
    Variable("DOWNLOAD_LINK_S", _whole(1, 3_600), "300", "How long a link to a version's file works, in seconds."),
    Variable("WEB_PROCESSES", _whole(1, 64), "2", "Number of web processes. Each holds its own warm sessions."),
    Variable("WEB_THREADS", _whole(2, 512), "16",
             "Threads of each web process for pages and the API. Predictions do not use them."),
    Variable("WORKER_THREADS", _whole(1, 64), "4",
             "Threads of a worker for chores. With `EXECUTOR=workers` it runs twice as many online batches at once."),
    Variable("EXECUTOR", _one_of("inprocess", "workers"), "inprocess",
             "Where versions run. `inprocess`: in each web and gRPC process. "
             "`workers`: in the workers of each Model's pool, through Celery, which needs Redis."),
    Variable("POOL", _pool, "infer", "The worker's pool. It serves the Models that name this pool."),
    Variable("WARM_LIMIT_S", _whole(1, 86_400), "300",
             "How long a new split waits until its versions are warm in every engine that will serve it, in seconds. "
             "After that, it is abandoned and the current split stays."),
    Variable("WATCHDOG_S", _whole(0, 3_600), "30",
             "A worker exits after this many seconds without progress while work is waiting for it. 0: never."),
    Variable("JOB_THREADS", _whole(1, 64), "2",
             "Chunks of jobs that a worker runs at once: while one is read or written, another is predicted."),
    Variable("JOB_NICENESS", _whole(0, 19), "19",
             "How far jobs yield to everything else on the machine, where web processes predict. At 19 they hardly move"
             " while all cores are busy, and checks in the same worker wait for them; with less they slow requests down."),
    Variable("JOB_LEASE_S", _whole(1, 3_600), "30",
             "After this many seconds without a sign of life from its worker, a chunk is given to another worker."),
    Variable("JOB_KEEP_DAYS", _whole(1, 3_650), "7", "Days to keep a job's input and results after it ends."),
    Variable("DECISION_DAYS", _whole(1, 3_650), "90",
             "Days to keep decisions of moderation, with the contents that they are about."),
    Variable("JOB_OPEN", _whole(1, 1_000_000), "1000", "Maximum number of open jobs per tenant, or per person."),
    Variable("JOB_OPEN_ROWS", _whole(1, 10**12), "100000000", "Maximum rows in open jobs per tenant, or per person."),
    Variable("JOB_OPEN_MB", _whole(1, 10**9), "16384", "Maximum input of open jobs per tenant, or per person, in MiB."),
    Variable("JOB_FOLDERS", _absolute_folders, "",
             "Folders that job storage may use, separated by commas. If unset, no folder can be job storage."),
    Variable("INTRA_OP_THREADS", _whole(1, 256), "1", "Threads that one run of a model may use in each process."),
    Variable("SESSION_MEMORY_MB", _whole(16, 1_048_576), "2048",
             "Memory for all warm sessions on this host, in MiB, divided among the processes that serve."),
    Variable("PREDICT_JSON_MB", _whole(1, 1_024), "8", "Largest JSON body of a prediction, in MiB."),
    Variable("PREDICT_BINARY_MB", _whole(1, 4_096), "64", "Largest binary body or gRPC message of a prediction, in MiB."),
    Variable("PREDICT_MEMORY_MB", _whole(16, 1_048_576), None,
             "Memory that predictions may hold in each web process, in MiB: bodies, parsed inputs and answers. "
             "If unset: five times the largest body, and at least 512."),
    Variable("GRPC_PORT", _whole(0, 65_535), "8001",
             "Port for gRPC, shared by the web processes. 0: no gRPC in the web processes."),
    Variable("DEFAULT_MODELS", _default_models, "",
             "The Models that answer `/predict` and gRPC's `Predictor` and `ModelService` (`predict`), `/api/v1/classify` "
             "(texts: `classify`, pictures: `classify-images`), `/api/v1/detect`, `/api/v1/entities`, `/api/v1/rank` and "
             "`/api/v1/recommend` for requests that name none, such as `predict=scores,classify=tone`."),
    Variable("DEBUG", _flag, "false", "Django's debug pages. Only for work on Roundhouse itself; refused in production."),
    Variable("LOG_FORMAT", _one_of("auto", "text", "json"), "auto",
             "`auto`: text in the embedded profile, JSON lines in production."),
    Variable("LOG_LEVEL", _one_of("debug", "info", "warning", "error"), "info", "Least severe level that is logged."),
)  # fmt: skip

# docs/clients.md tells callers to set these; people who try things out have them in the same shell.
_CLIENT_VARIABLES = frozenset({PREFIX + "URL", PREFIX + "GRPC", PREFIX + "KEY"})
# What to do about a removed setting, from the value it has.
_REMOVED: Mapping[str, Callable[[str], str]] = {
    PREFIX + "FRONT_DOOR": lambda _: "remove it",
    PREFIX + "WEB_PINNED": lambda _: "remove it",
    PREFIX + "DEFAULT_MODEL": lambda model: f"set {PREFIX}DEFAULT_MODELS=predict={model or 'MODEL'} instead",
}
_BY_NAME = {PREFIX + variable.name: variable for variable in VARIABLES}


def read_environment(environ: Mapping[str, str]) -> SimpleNamespace:
    """Read every variable into a lower-case attribute. Raise BadEnvironment, which lists all problems."""
    problems: list[str] = []
    values: dict[str, Any] = {}
    for variable in VARIABLES:
        try:
            raw = _raw_value(variable, environ)
            values[variable.name.lower()] = variable.read(raw) if raw is not None else None
        except ValueError as error:
            problems.append(_describe(variable, environ, error))
    problems += _unknown_names(environ)
    if not problems:
        problems += _missing_in_production(values) + _missing_for_executor(values)
    if problems:
        raise BadEnvironment(problems)
    return SimpleNamespace(**values)


def _raw_value(variable: Variable, environ: Mapping[str, str]) -> str | None:
    name = PREFIX + variable.name
    value = environ.get(name)
    file_name = environ.get(name + "_FILE") if variable.is_secret else None
    if value and file_name:
        raise ValueError(f"set {name} or {name}_FILE, not both")
    if file_name:
        try:
            return Path(file_name).read_text().strip()
        except OSError as error:
            raise ValueError(f"{name}_FILE cannot be read ({error.strerror})") from None
    # An empty value means "not set": compose files pass empty strings for absent ones.
    return value.strip() if value and value.strip() else variable.default


def _describe(variable: Variable, environ: Mapping[str, str], error: ValueError) -> str:
    name = PREFIX + variable.name
    current = "" if variable.is_secret else f" is {environ.get(name, '')!r}"
    return f"{name}{current}: {error}."


def _unknown_names(environ: Mapping[str, str]) -> list[str]:
    known = set(_BY_NAME) | {name + "_FILE" for name, variable in _BY_NAME.items() if variable.is_secret}
    problems = []
    for name in sorted(environ):
        if (
            not name.startswith(PREFIX)
            or name in known
            or name.startswith(PREFIX + "TEST_")
            or name in _CLIENT_VARIABLES
        ):
            continue
        if name in _REMOVED:
            problems.append(f"{name}: this setting no longer exists; {_REMOVED[name](environ[name])}.")
            continue
        close = difflib.get_close_matches(name, known, n=1)
        hint = (
            f"did you mean {close[0]}?" if close else "remove it; docs/configuration.md lists every setting."
        )
        problems.append(f"{name}: no such setting; {hint}")
    return problems


def _missing_in_production(values: Mapping[str, Any]) -> list[str]:
    if values["profile"] != "production":
        return []
    needed = {
        "secret_key": "a secret of at least 32 characters (`openssl rand -base64 48` prints one)",
        "audit_key": "another secret of at least 32 characters, kept outside the database",
        "database_url": "a PostgreSQL address, such as postgresql://user:password@host:5432/name",
        "redis_url": "a Redis address, such as redis://host:6379/0",
        "public_url": "the address that people use, such as https://models.example.org",
    }
    return [
        f"{PREFIX}{name.upper()}: the production profile needs {what}."
        for name, what in needed.items()
        if values[name] is None
    ]


def _missing_for_executor(values: Mapping[str, Any]) -> list[str]:
    if values["executor"] != "workers" or values["redis_url"] is not None:
        return []
    return [
        f"{PREFIX}EXECUTOR is 'workers', which sends predictions through Redis: "
        f"set {PREFIX}REDIS_URL, or use {PREFIX}EXECUTOR=inprocess."
    ]
