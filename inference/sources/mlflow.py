"""Reads registered models of an MLflow server over its REST interface: a version, its run, its ONNX file."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from registry.catalogue.validation import (
    MAX_COMMIT,
    MAX_DATA_SET,
    MAX_RUN_URL,
    MAX_TRAINING_ITEMS,
    TrainingRecord,
    checked_training,
    is_plain,
)
from registry.errors import FetchFailed, Invalid
from registry.intake.assembly import MAX_DATA_FILES, weights_named
from registry.intake.errors import InsufficientStorage
from registry.intake.file_scan.errors import printable
from registry.record.fetcher import AllowedHosts, Fetched, Fetcher, FetchLimits, read_url

_REST, _ARTIFACTS = "api/2.0/mlflow", "api/2.0/mlflow-artifacts/artifacts"
_GIT_COMMIT, _CONTEXT = "mlflow.source.git.commit", "mlflow.data.context"
_URI = re.compile(r"models:/(?P<name>[^/@]{1,500})(?:@(?P<alias>[^/@]{1,255})|/(?P<version>[0-9]{1,12}))")
_ANSWERS = FetchLimits(total_s=30.0)
_MAX_DESCRIPTION_BYTES = 1 << 20  # of an MLmodel
_DOWNLOAD_S = 3600.0
_ONNX = "onnx"
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class MlflowUri:
    """What the operator named: models:/name@alias or models:/name/3."""

    name: str
    alias: str
    version: str


@dataclass(frozen=True, slots=True)
class MlflowVersion:
    """A version of a registered model: where its files are, and where it comes from."""

    name: str
    version: str
    artifacts: str  # a path below the server's artifacts
    file: str  # of the ONNX model, beside its MLmodel
    training: TrainingRecord
    lost: Sequence[str]  # of the run, a sentence each


def read_uri(text: str) -> MlflowUri:
    """Raise Invalid for what names no single version, such as a stage."""
    found = _URI.fullmatch(text)
    if found is None:
        raise Invalid(
            f"Write models:/name@alias or models:/name/3, not {text[:80]!r}. Stages and `latest` may mean another version"
            " tomorrow; give the version an alias."
        )
    return MlflowUri(unquote(found["name"]), unquote(found["alias"] or ""), found["version"] or "")


class MlflowServer:
    """One server, which the operator named: it may be on a private address. Redirects are not followed."""

    def __init__(self, url: str, *, authorization: str = "", allowed_hosts: AllowedHosts = ()) -> None:
        self.url = _checked_server(url)
        parts = urlsplit(self.url)
        host, port = (
            (parts.hostname or "").removesuffix("."),
            parts.port or _PORTS[parts.scheme],
        )
        trusted = {*allowed_hosts, (host, port)}
        read_url(self.url, trusted)
        self._fetcher = Fetcher(allowed_hosts=trusted)
        if not (authorization.isascii() and authorization.isprintable()):
            raise Invalid(
                "The token of the MLflow server must be ASCII, and one line; check the variable that holds it."
            )
        self._headers = {"Authorization": authorization} if authorization else {}

    def find(self, uri: MlflowUri) -> MlflowVersion:
        """The version, if its flavour is ONNX and the server hands out its files; raise Invalid or FetchFailed."""
        version = self._version(uri)
        name, number = _text(version, "name"), _text(version, "version")
        answer = self._ask("model-versions/get-download-uri", name=name, version=number)
        artifacts = self._path_of(_text(answer, "artifact_uri"))
        file = self._file_of(artifacts)
        training, lost = self._training(version)
        return MlflowVersion(name, number, artifacts, file, training, lost)

    def download(self, version: MlflowVersion, folder: Path, *, most: int) -> tuple[Path, list[Path]]:
        """Fetch the ONNX file, and the weights that it names, into the folder; `most` bytes each."""
        model = self._fetch_file(f"{version.artifacts}/{version.file}", folder, most)
        weights = weights_named(model)[:MAX_DATA_FILES]
        parent = f"{version.artifacts}/{version.file}".rpartition("/")[0]
        return model, [self._fetch_file(f"{parent}/{name}", folder, most) for name in weights]

    def _version(self, uri: MlflowUri) -> Mapping[str, Any]:
        if uri.alias:
            answer = self._ask("registered-models/alias", name=uri.name, alias=uri.alias)
        else:
            answer = self._ask("model-versions/get", name=uri.name, version=uri.version)
        return _object(answer, "model_version")

    def _ask(self, words: str, **query: str) -> Mapping[str, Any]:
        answer = self._fetch(f"{_REST}/{words}?{urlencode(query)}", _ANSWERS)
        try:
            content = json.loads(answer.body)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise Invalid(f"What answers at {self.url} is no MLflow server; check the address.")
        return content

    def _fetch(
        self, path: str, limits: FetchLimits, write: Callable[[bytes], object] | None = None
    ) -> Fetched:
        try:
            answer = self._fetcher.fetch(
                f"{self.url}/{path}", headers=self._headers, limits=limits, write=write
            )
        except FetchFailed as error:
            raise type(error)(f"The MLflow server at {self.url} could not be asked: {error}") from None
        if answer.status in {401, 403}:
            raise Invalid(
                f"The MLflow server answered {answer.status}: set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and"
                " MLFLOW_TRACKING_PASSWORD, of somebody who may read this model."
            )
        if answer.status != 200:
            raise Invalid(f"The MLflow server answered {answer.status}: {_message(answer.body)}")
        return answer

    def _path_of(self, uri: str) -> str:
        """The path below the server's artifacts; only files that the server itself hands out can be fetched."""
        parts = urlsplit(uri)
        own = urlsplit(self.url)
        is_here = parts.netloc in {"", own.netloc} or parts.hostname == own.hostname
        if parts.scheme != "mlflow-artifacts" or not is_here:
            raise Invalid(
                f"The files are at {printable(uri)[:200]}, and the MLflow server does not hand them out (--serve-artifacts)."
                " Download them with `mlflow artifacts download`, then use import_model."
            )
        return _checked_path(parts.path.strip("/"))

    def _file_of(self, artifacts: str) -> str:
        limits = FetchLimits(total_s=_ANSWERS.total_s, max_bytes=_MAX_DESCRIPTION_BYTES)
        description = self._fetch(f"{_ARTIFACTS}/{quote(artifacts)}/MLmodel", limits).body
        flavours = read_flavours(description.decode(errors="replace"))
        if _ONNX not in flavours:
            others = ", ".join(printable(name) for name in list(flavours)[:10]) or "none"
            raise Invalid(
                f"It has no ONNX flavour; its flavours are {others}. Log it with mlflow.onnx as well: docs/exporting.md shows how"
                " to export it."
            )
        return _checked_path(flavours[_ONNX].get("data", "model.onnx"))

    def _fetch_file(self, path: str, folder: Path, most: int) -> Path:
        target = folder / _checked_path(path).rpartition("/")[2]
        with target.open("xb") as file:
            self._fetch(
                f"{_ARTIFACTS}/{quote(path)}",
                FetchLimits(total_s=_DOWNLOAD_S, max_bytes=most),
                _writer(file.write),
            )
        return target

    def _training(self, version: Mapping[str, Any]) -> tuple[TrainingRecord, Sequence[str]]:
        notes = _Notes()
        notes.tag("mlflow.model", f"{version.get('name')}/{version.get('version')}")
        run_id = version.get("run_id")
        run = (
            _object(self._ask("runs/get", run_id=run_id), "run") if isinstance(run_id, str) and run_id else {}
        )
        data = _object(run, "data", optional=True)
        tags = dict(_pairs(data.get("tags")))
        for name, value in (*_pairs(version.get("tags")), *tags.items()):
            if not name.startswith("mlflow."):
                notes.tag(name, value)
        for name, value in _pairs(data.get("metrics")):
            notes.metric(name, value)
        commit = str(tags.get(_GIT_COMMIT, ""))[:MAX_COMMIT]
        record: TrainingRecord = {
            "run_url": self._run_url(run), "git_commit": commit if is_plain(commit) else "",
            "data_set": _data_sets(run)[:MAX_DATA_SET], "metrics": notes.metrics, "tags": notes.tags,
        }  # fmt: skip
        return checked_training(record), notes.lost

    def _run_url(self, run: Mapping[str, Any]) -> str:
        info = _object(run, "info", optional=True)
        experiment, run_id = info.get("experiment_id"), info.get("run_id")
        url = f"{self.url}/#/experiments/{experiment}/runs/{run_id}"
        is_usable = run_id and re.fullmatch(r"[!-~]+", url) and len(url) <= MAX_RUN_URL
        return url if is_usable else ""


@dataclass(slots=True)
class _Notes:
    """Metrics and tags of a run, as far as a training record takes them."""

    metrics: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, Any] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    def metric(self, name: str, value: Any) -> None:
        self._add("metrics", "metric", self.metrics, name, value)

    def tag(self, name: str, value: Any) -> None:
        self._add("tags", "tag", self.tags, name, value)

    def _add(self, field_name: str, word: str, present: dict[str, Any], name: str, value: Any) -> None:
        try:
            if len(present) >= MAX_TRAINING_ITEMS:
                raise Invalid(f"a training record has at most {MAX_TRAINING_ITEMS}")
            present.update(checked_training({field_name: {name: value}})[field_name])
        except Invalid as error:
            self.lost.append(f"{word} {printable(name)[:80]}: {str(error).rstrip('.')}.")


def read_flavours(description: str) -> dict[str, dict[str, str]]:
    """The flavours of an MLmodel, each with its plain values. MLflow writes it with two spaces per level."""
    flavours: dict[str, dict[str, str]] = {}
    _, _, rest = f"\n{description}".replace("\r\n", "\n").partition("\nflavors:\n")
    for line in rest.split("\n"):
        if not line.startswith("  "):
            break
        if name := re.fullmatch(r"  ([A-Za-z0-9_.-]{1,100}):", line):
            flavours[name[1]] = {}
        elif flavours and (value := re.fullmatch(r"    ([A-Za-z0-9_]{1,100}): (\S.*)", line)):
            next(reversed(flavours.values()))[value[1]] = value[2].strip().strip("'\"")
    return flavours


def _checked_server(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none
        is_usable = False
    if not is_usable or parts.query or parts.fragment:
        raise Invalid(f"Name the MLflow server as http://host:5000 or https://host/path, not {url[:80]!r}.")
    return url.rstrip("/")


def _checked_path(path: str) -> str:
    """A path below the server's artifacts; its last part becomes the name of a file here."""
    parts = path.split("/")
    if not is_plain(path) or "\\" in path or {"", ".", ".."} & set(parts) or len(parts[-1]) > 255:
        raise Invalid(f"The MLflow server names a file {printable(path)[:80]!r}, which cannot be fetched.")
    return path


def _writer(write: Callable[[bytes], object]) -> Callable[[bytes], None]:
    def checked(piece: bytes) -> None:
        try:
            write(piece)
        except OSError as error:
            raise InsufficientStorage(f"The file could not be stored here: {error.strerror}.") from None

    return checked


def _object(answer: Mapping[str, Any], name: str, *, optional: bool = False) -> Mapping[str, Any]:
    value = answer.get(name)
    if not isinstance(value, dict):
        if optional:
            return {}
        raise Invalid(f"The MLflow server's answer has no `{name}`; it may be too old.")
    return value


def _text(answer: Mapping[str, Any], name: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str) or not value:
        raise Invalid(f"The MLflow server's answer has no `{name}`; it may be too old.")
    return value


def _pairs(values: Any) -> Iterator[tuple[str, Any]]:
    """Keys and values of a list such as [{"key": "rmse", "value": 1.5}]."""
    for value in values if isinstance(values, list) else ():
        if isinstance(value, dict) and isinstance(value.get("key"), str):
            yield value["key"], value.get("value")


def _data_sets(run: Mapping[str, Any]) -> str:
    """In words: sales-2026 (digest c42e9dfe, training)."""
    inputs = _object(run, "inputs", optional=True).get("dataset_inputs")
    words = []
    for each in inputs if isinstance(inputs, list) else ():
        data_set = _object(each, "dataset", optional=True) if isinstance(each, dict) else {}
        context = dict(_pairs(each.get("tags"))).get(_CONTEXT) if isinstance(each, dict) else None
        details = [f"digest {data_set.get('digest')}", *([str(context)] if context else [])]
        if name := data_set.get("name"):
            words.append(f"{name} ({', '.join(details)})")
    text = "; ".join(words)
    return text if is_plain(text) else ""


def _message(body: bytes) -> str:
    try:
        said = json.loads(body)["message"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return "it gives no reason"
    return printable(str(said))[:300]
