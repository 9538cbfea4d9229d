#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the Roundhouse contributors. Licensed under the Apache License, Version 2.0:
# https://www.apache.org/licenses/LICENSE-2.0
"""A client of Roundhouse in one file, for Python 3.9 and newer, without dependencies. Copy it into your project.

    client = roundhouse.Client()                                            # ROUNDHOUSE_URL and ROUNDHOUSE_KEY
    client.predict("ripeness", features=[0.21, 0.79, 0.31])["prediction"]   # numbers; `ask` for everything else
    client.classify("The food was wonderful.", model="tone")["label"]       # or image="cat.jpg"
    client.download(client.run_job("ripeness", "harvest.csv"), "ripe.csv")  # millions of rows
    client.wait_for_checks(client.push("ripeness", "model.onnx"))["state"]  # a new version, checked

It is also a program, for CI: `python roundhouse.py --help`. `sign` and `verify_webhook` are for Celery messages and webhooks.

Requests are repeated when that is safe: after an error that says so, when its Retry-After has passed, and after a connection
that died before it gave an answer. Redirects are never followed, and proxies of the environment are not used. A client may be
shared by threads; it keeps its connections open, so make it after a fork.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import http.client
import json
import os
import random
import re
import socket
import ssl
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit

__version__ = "0.1.0"
__all__ = ["BadWebhook", "Client", "RoundhouseError", "Unreachable", "sign", "verify_webhook"]

_PART_BYTES = 8 * 2**20  # of an upload
_BODY_BYTES = 64 * 2**20  # of a job's file that is sent in one request
_PIECE_BYTES = 2**18
_SLOWEST_BYTES_S = 2**15  # a body may arrive as slowly as this
_IDLE_S = 25  # the server closes a connection that was idle for 30 s
_GRACE_S = 2  # how much longer than the deadline an answer may travel
_SLOW_S = 600  # for an answer that is much work: a large file becomes a version, or results a file
_MOST_PAUSE_S = 8
_KEY = re.compile(r"rh_[A-Za-z0-9]+_[A-Za-z0-9_-]+")
_FORMATS = {
    ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".npz": "npz", ".parquet": "parquet", ".zip": "zip",
}  # fmt: skip


class RoundhouseError(Exception):
    """Roundhouse refused. `code` is stable (docs/errors.md), `detail` is for people, `errors` lists invalid fields."""

    def __init__(
        self, detail: str, *, status: int = 0, code: str = "", errors: Sequence[Mapping[str, Any]] = (),
        request_id: str = "", retryable: bool = False, retry_after_s: float = 0,
    ) -> None:  # fmt: skip
        super().__init__(detail)
        self.detail, self.status, self.code, self.errors = detail, status, code, list(errors)
        self.request_id, self.retryable, self.retry_after_s = request_id, retryable, retry_after_s

    def __str__(self) -> str:
        facts = [f"{self.status} {self.code}".strip() if self.status else self.code, self.request_id]
        shown = ", ".join(fact for fact in facts if fact)
        return f"{self.detail} ({shown})" if shown else self.detail


class Unreachable(RoundhouseError):
    """No answer: the address is wrong, the server is down or too slow, or the connection broke off."""


class BadWebhook(ValueError):
    """The message was not signed with this secret, or is too old."""


class Client:
    """One server and one key. `repr` and errors never show the key."""

    def __init__(
        self, url: str | None = None, key: str | None = None, *, timeout_s: float = 30, retry_for_s: float = 30,
        sleep: Callable[[float], object] = time.sleep, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """`retry_for_s`: for how long a call is repeated, unless it has a deadline; 0 means never."""
        self.url = (url or os.environ.get("ROUNDHOUSE_URL", "")).strip().rstrip("/")
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc or parts.query:
            raise ValueError(
                "Set ROUNDHOUSE_URL to the server's address, such as https://roundhouse.example."
            )
        self._key = _checked_key(key)
        self._host, self._port, self._path = parts.hostname, parts.port, parts.path
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self.timeout_s, self.retry_for_s = timeout_s, retry_for_s
        self._sleep, self._clock = sleep, clock
        self._idle: deque[tuple[http.client.HTTPConnection, float]] = deque()  # the newest is last
        self._has_answered = False

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept connections."""
        with suppress(IndexError):  # another thread may take one
            while True:
                self._idle.pop()[0].close()

    # Predictions. Options of all: `routing_key`; `deadline_s`, which bounds the whole call with its repetitions; and `dry_run`,
    # which checks the request and runs nothing. A `model` may be `ripeness`, `ripeness@champion` or `ripeness/versions/1`.

    def predict(
        self,
        model: str,
        *,
        inputs: Any = None,
        instances: Any = None,
        features: Any = None,
        data: Any = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Numbers, in one of the four forms (docs/clients.md); lists, or arrays of numpy and the like."""
        forms = {"inputs": inputs, "instances": instances, "features": features, "data": data}
        return self.ask(model, forms, **options)

    def ask(self, model: str, body: Mapping[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        """Whatever the Model's task takes, such as `ask("tone", text="Hello", top_k=1)`. Paths and bytes are sent as base64."""
        return self._predict(f"models/{quote(model, safe='@/')}/predict", body or {}, **options)

    def classify(
        self, text: Any = None, *, image: Any = None, model: str | None = None, **options: Any
    ) -> dict[str, Any]:
        """Labels for a text or a picture; for a list of either, in `answers`. Without `model` the default one answers.

        A picture is a path, its bytes, or a URL that the server is allowed to fetch. Option: `top_k`.
        """
        item = _image_field(image) if text is None else _item_field("text", text)
        return self._predict("classify", {"model": model, **item}, **options)

    def detect(self, image: Any, *, model: str | None = None, **options: Any) -> dict[str, Any]:
        """The objects in a picture, or in each of a list. Option: `threshold`."""
        return self._predict("detect", {"model": model, **_image_field(image)}, **options)

    def entities(self, text: Any, *, model: str | None = None, **options: Any) -> dict[str, Any]:
        """The names, numbers and the like in a text, or in each of a list. Option: `offset_unit`."""
        return self._predict("entities", {"model": model, **_item_field("text", text)}, **options)

    def recommend(
        self, user: Any, *, exclude: Any = None, model: str | None = None, **options: Any
    ) -> dict[str, Any]:
        """Items for the user with this id, best first; for a list of ids, in `answers`. Option: `top_k`.

        `exclude`: ids of items that nobody gets, or a list of ids for each user.
        """
        field = "users" if _is_list(user) else "user"
        return self._predict("recommend", {"model": model, field: user, "exclude": exclude}, **options)

    def rank(self, user: Any, candidates: Any, *, model: str | None = None, **options: Any) -> dict[str, Any]:
        """Which candidates this user likes best, as their places in the list, from 0. Option: `top_k`.

        A user and a candidate are each an object, or a list of values. For a list of users, `candidates` has a list for each,
        and the answer has `answers`.
        """
        field = "users" if _is_list(user) and any(_is_list(one, dict) for one in user) else "user"
        return self._predict("rank", {"model": model, field: user, "candidates": candidates}, **options)

    def _predict(
        self, path: str, body: Mapping[str, Any], *, routing_key: str | None = None, deadline_s: float | None = None,
        dry_run: bool = False, **fields: Any,
    ) -> dict[str, Any]:  # fmt: skip
        headers = {} if routing_key is None else {"X-Routing-Key": routing_key}
        sent = {name: value for name, value in {**body, **fields}.items() if value is not None}
        query = {"dry_run": 1} if dry_run else None
        return self._json(
            "POST", path, sent, query=query, headers=headers, deadline_s=deadline_s, is_repeatable=True
        )

    # Jobs. A `job` may be its id.

    def start_job(
        self, model: str, source: Any = None, *, format: str | None = None, contract: Mapping[str, Any] | None = None,
        output_format: str | None = None, on_done: Mapping[str, str] | None = None, input: Mapping[str, str] | None = None,
        output: Mapping[str, str] | None = None, idempotency_key: str | None = None,
        on_bytes: Callable[[int, int], object] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Start a job on a file or on rows (docs/jobs.md), and return it at once.

        A file above 64 MiB, or with `on_done` or `output`, is uploaded in parts; `on_bytes` gets the bytes sent and their
        total. `input` and `output` are files in job storage. With one `idempotency_key` a job starts only once.
        """
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        job = {**_target(model), "contract": contract or {}}
        if isinstance(source, (str, os.PathLike)):
            path = Path(source)
            is_gzipped = path.suffix == ".gz"
            format = format or _FORMATS.get(Path(path.stem).suffix if is_gzipped else path.suffix)
            if format is None:
                raise ValueError(f"{path.name} ends with none of {', '.join(_FORMATS)}: name its format.")
            if path.stat().st_size <= _BODY_BYTES and on_done is output is None:
                query = {**job, "contract": json.dumps(job["contract"]), "format": format}
                if output_format is not None:
                    query["output_format"] = output_format
                if is_gzipped:
                    headers["Content-Encoding"] = "gzip"
                return self._json(
                    "POST", "jobs", path.read_bytes(), query=query, headers=headers, timeout_s=_SLOW_S
                )
            job |= {"input": {"upload": self.upload(path, on_bytes=on_bytes)}, "gzip": is_gzipped}
        elif source is not None:
            job["rows"] = [row if isinstance(row, Mapping) else {"features": row} for row in source]
        if output_format is not None:
            output = {**(output or {}), "format": output_format}
        fields = {"format": format, "on_done": on_done, "input": input, "output": output}
        job |= {name: value for name, value in fields.items() if value is not None}
        return self._json("POST", "jobs", job, headers=headers)

    def job(self, job: Any) -> dict[str, Any]:
        """The job as it is now, with its progress."""
        return self._json("GET", f"jobs/{_id(job)}")

    def wait_for_job(
        self,
        job: Any,
        *,
        on_job: Callable[[dict[str, Any]], object] | None = None,
        timeout_s: float | None = None,
    ) -> dict[str, Any]:
        """Return the job when it is `done`, `failed` or `cancelled`. Until then `on_job` gets it whenever it was read."""
        until = None if timeout_s is None else self._clock() + timeout_s
        while True:
            with self._open("GET", f"jobs/{_id(job)}") as response:
                pause_s = _seconds(response.headers.get("Retry-After"), 1)
                shown: dict[str, Any] = _read_json(response)
            if on_job is not None:
                on_job(shown)
            if shown["status"] not in {"queued", "running"}:
                return shown
            self._wait(pause_s, until, f"Job {shown['id']} is still {shown['status']}.")

    def run_job(
        self,
        model: str,
        source: Any = None,
        *,
        on_job: Callable[[dict[str, Any]], object] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Start a job, and return it when it is done; raise if it was not. `options` are those of `start_job`."""
        job = self.wait_for_job(self.start_job(model, source, **options), on_job=on_job)
        if job["status"] != "done":
            raise RoundhouseError(
                job["failure"] or f"Job {job['id']} was {job['status']}.", code=f"job_{job['status']}"
            )
        return job

    def cancel_job(self, job: Any, reason: str = "") -> dict[str, Any]:
        """End a job; finished results stay."""
        return self._json("POST", f"jobs/{_id(job)}/cancel", {"reason": reason})

    def results(self, job: Any, what: str = "results") -> bytes:
        """The results in memory, in the job's output format; or the `errors`, a JSON line for each skipped row."""
        with self._open("GET", f"jobs/{_id(job)}/{what}", timeout_s=_SLOW_S) as response:
            return _read(response)

    def download(self, job: Any, path: str | os.PathLike[str], what: str = "results") -> None:
        """Write the results, or the `errors`, to a file, which appears when it is complete.

        What arrived before a connection was lost is kept, also for the next time that this is called.
        """
        is_done = self.job(job)["status"] == "done"  # else they may change, and are fetched as a whole
        part = Path(f"{os.fspath(path)}.{_id(job)}.{'part' if is_done else 'incomplete'}")
        while True:
            had = part.stat().st_size if is_done and part.exists() else 0
            try:
                self._fetch(f"jobs/{_id(job)}/{what}", part, had)
                break
            except Unreachable:
                if not is_done or not part.exists() or part.stat().st_size <= had:
                    raise
        os.replace(part, path)

    def _fetch(self, address: str, part: Path, had: int) -> None:
        headers = {"Range": f"bytes={had}-"} if had else {}
        try:
            answer = self._open("GET", address, headers=headers, timeout_s=_SLOW_S)
            with answer as response, part.open("ab" if response.status == 206 else "wb") as file:
                while piece := _read(response, _PIECE_BYTES):
                    file.write(piece)
        except RoundhouseError as error:
            if error.status != 416:  # it had all of it
                raise

    # Files and versions

    def upload(
        self, path: str | os.PathLike[str], *, model: str = "", resume: bool = False,
        on_bytes: Callable[[int, int], object] | None = None,
    ) -> str:  # fmt: skip
        """Send a file in parts and return the upload's id. `on_bytes` gets the bytes sent and their total.

        With `resume` an open upload of the same file, which an earlier process began, is continued. An unknown `model` is
        refused before anything is sent.
        """
        path = Path(path)
        size, sha256 = path.stat().st_size, _sha256(path)
        upload = self._open_upload(path.name, sha256) if resume else None
        if upload is None:
            begun = {"size_bytes": size, "file_name": path.name, "sha256": sha256, "model": model}
            upload = self._json("POST", "uploads", begun, headers={"Idempotency-Key": str(uuid.uuid4())})
        address = f"uploads/{upload['id']}"
        with path.open("rb") as file:
            while upload["offset"] < size:
                file.seek(upload["offset"])
                part = file.read(_PART_BYTES)
                if not part:
                    raise ValueError(f"{path.name} became shorter while it was sent.")
                try:
                    upload = self._json("PUT", address, part, query={"offset": upload["offset"]})
                except RoundhouseError as error:
                    if error.code != "wrong_offset":
                        raise
                    upload = self._json("GET", address)
                if on_bytes is not None:
                    on_bytes(upload["offset"], size)
        return cast("str", upload["id"])

    def _open_upload(self, name: str, sha256: str) -> dict[str, Any] | None:
        for upload in self._json("GET", "uploads")["results"]:
            if (upload["file_name"], upload["announced_sha256"]) == (name, sha256):
                return cast("dict[str, Any]", upload)
        return None

    def push(
        self, model: str, path: str | os.PathLike[str], *, files: Iterable[str | os.PathLike[str]] = (),
        new_model: Mapping[str, str] | None = None, labels: Sequence[str] = (),
        task_config: Mapping[str, Any] | None = None, notes: str = "", training: Mapping[str, Any] | None = None,
        resume: bool = False,
        on_bytes: Callable[[int, int], object] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Upload a model file, and the `files` that belong to it, and make it the Model's next version, which is then checked.

        `new_model` creates the Model as well: `{"title": "Demand", "task": "tensor"}`; the title may be missing.
        `training` says where it comes from: `run_url`, `git_commit`, `data_set`, `metrics`, `tags`.
        """
        config = {**(task_config or {}), **({"labels": list(labels)} if labels else {})}
        known = "" if new_model is not None else model
        sent = [self.upload(file, model=known, resume=resume, on_bytes=on_bytes) for file in (path, *files)]
        upload, *others = sent
        body = {
            "model": model,
            "new_model": new_model,
            "data_uploads": others,
            "task_config": config,
            "notes": notes,
            **({"training": training} if training else {}),
        }
        return self._json("POST", f"uploads/{upload}/complete", body, timeout_s=_SLOW_S, is_repeatable=True)

    def wait_for_checks(
        self, version: Mapping[str, Any], *, on_step: Callable[[dict[str, Any]], object] | None = None,
        timeout_s: float = 1800,
    ) -> dict[str, Any]:  # fmt: skip
        """Return the version's check when it has ended; its `state` is `passed` or `failed`. `on_step` gets each step once."""
        address = f"models/{quote(version['model'])}/versions/{version['number']}"
        until, seen = self._clock() + timeout_s, set()
        while True:
            status = self._json("GET", address)["status"]
            try:
                check = self._json("GET", f"{address}/checks")
            except RoundhouseError as error:
                if error.status != 404:
                    raise
                check = {"state": "waiting", "lines": []}
            for line in check["lines"]:
                if line["state"] not in {"waiting", "running"} and line["step"] not in seen:
                    seen.add(line["step"])
                    if on_step is not None:
                        on_step(line)
            if check["state"] in {"passed", "failed"} and status in {"ready", "failed", "archived"}:
                return check
            self._wait(1, until, f"The check of {version['model']} {version['number']} has not ended.")

    def ask_share(self, version: Mapping[str, Any], percent: float, comment: str) -> dict[str, Any]:
        """Request that a version gets a share of the live traffic; the others keep the rest, in their proportions."""
        model, number = quote(version["model"]), version["number"]
        _check_percent(percent)
        live = self._json("GET", f"models/{model}/live")
        shares = {arm["version"]: arm["share"] for arm in live["arms"]}
        arms = _arms(shares, number, round(percent * 100))
        body = {"arms": arms, "comment": comment, "expected_revision": live["split"] or 0}
        key = {"Idempotency-Key": str(uuid.uuid4())}
        return self._json("POST", f"models/{model}/requests", body, headers=key)

    # Requests

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """Call any address below /api/v1/, such as `call("GET", "models", query={"task": "tensor"})`. Returns its JSON, or None.

        `body`: JSON, or bytes. Options: `query`, `headers`, `timeout_s`, `deadline_s`, and `is_repeatable`, which is true
        for everything but a POST without an Idempotency-Key.
        """
        with self._open(method, path, body, **options) as response:
            return _read_json(response)

    def _json(self, *request: Any, **options: Any) -> dict[str, Any]:
        return cast("dict[str, Any]", self.call(*request, **options))

    @contextmanager
    def _open(
        self, method: str, path: str, body: Any = None, *, query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None, timeout_s: float | None = None, deadline_s: float | None = None,
        is_repeatable: bool | None = None,
    ) -> Iterator[http.client.HTTPResponse]:  # fmt: skip
        """A successful answer whose body is still to be read; its connection is kept if all of it is."""
        target = f"{self._path}/api/v1/{path}" + (f"?{urlencode(query)}" if query else "")
        sent = {"Authorization": f"Bearer {self._key}", "User-Agent": f"roundhouse.py/{__version__}"}
        sent.update(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body, default=_encode).encode()
            sent["Content-Type"] = "application/json"
        elif body is not None:
            sent.setdefault("Content-Type", "application/octet-stream")
        if is_repeatable is None:
            is_repeatable = method != "POST" or "Idempotency-Key" in sent
        until = self._clock() + (self.retry_for_s if deadline_s is None else deadline_s)
        wait_s = (timeout_s or self.timeout_s) + len(body or b"") / _SLOWEST_BYTES_S
        for attempt in count():
            if deadline_s is not None:
                left_s = max(0.001, until - self._clock())
                sent["X-Deadline-Ms"], wait_s = str(max(1, round(1000 * left_s))), left_s + _GRACE_S
            try:
                connection, response = self._exchange(method, target, body, sent, wait_s, is_repeatable)
                break
            except RoundhouseError as error:
                pause_s = max(error.retry_after_s, min(0.25 * 2.0**attempt, _MOST_PAUSE_S))
                pause_s *= 1 + random.random() / 4  # noqa: S311 (so that not all callers come back at the same moment)
                if not error.retryable or self._clock() + pause_s > until:
                    raise
                self._sleep(pause_s)
        try:
            yield response
        finally:
            self._keep(connection, response)

    def _exchange(
        self, method: str, target: str, body: bytes | None, headers: dict[str, str], timeout_s: float, is_repeatable: bool
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:  # fmt: skip
        connection = self._connection(timeout_s, may_be_kept=is_repeatable)
        is_connected = connection.sock is not None
        try:
            if not is_connected:
                connection.connect()
                is_connected = True
            # A request may be refused before all of its body was read; then the answer is there.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, target, body, headers)
            response = connection.getresponse()
        except socket.timeout:
            connection.close()
            raise Unreachable(
                f"{self.url} did not answer within {timeout_s:.0f} s.", code="timeout"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self.close()  # the kept ones are probably dead, too
            what = "gave no answer" if is_connected else "cannot be reached"
            # An address that never answered is probably wrong.
            is_safe = is_repeatable if is_connected else self._has_answered
            retryable = is_safe and isinstance(error, OSError)
            raise Unreachable(
                f"{self.url} {what}: {error}.", code="unreachable", retryable=retryable
            ) from None
        self._has_answered = True
        if 200 <= response.status < 300:
            return connection, response
        try:
            raise self._problem(response)
        finally:
            self._keep(connection, response)

    def _problem(self, response: http.client.HTTPResponse) -> RoundhouseError:
        """The error that an answer is; a proxy's own page is one without a code."""
        status, media_type = response.status, response.headers.get_content_type()
        if 300 <= status < 400:
            place = urlsplit(response.headers.get("Location", ""))
            where = f"{place.scheme}://{place.hostname}" if place.hostname else "another address"
            return RoundhouseError(
                f"{self.url} redirects to {where}, which is not followed. Set ROUNDHOUSE_URL to the address that answers.",
                status=status, code="redirected",
            )  # fmt: skip
        try:
            problem = json.loads(_read(response)) if media_type == "application/problem+json" else None
        except (Unreachable, ValueError):
            problem = None
        if not isinstance(problem, dict):
            return RoundhouseError(
                f"{self.url} answered {status} {response.reason}, not as Roundhouse does.", status=status
            )
        return RoundhouseError(
            str(problem.get("detail", "")),
            status=status,
            code=str(problem.get("code", "")),
            errors=problem.get("errors") or (),
            request_id=str(problem.get("request_id", "")),
            retryable=problem.get("retryable") is True,
            retry_after_s=_seconds(response.headers.get("Retry-After"), 0),
        )

    def _connection(self, timeout_s: float, *, may_be_kept: bool) -> http.client.HTTPConnection:
        """A kept connection or a new one. What must not be sent twice goes over a new one, which no server closes just then."""
        while may_be_kept and self._idle:
            try:
                kept, since = self._idle.pop()
            except IndexError:  # another thread took it
                break
            if self._clock() - since < _IDLE_S and kept.sock is not None:
                kept.timeout = timeout_s
                kept.sock.settimeout(timeout_s)
                return kept
            kept.close()
        if self._tls is not None:
            return http.client.HTTPSConnection(self._host, self._port, timeout=timeout_s, context=self._tls)
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)

    def _keep(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        if response.isclosed() and not response.length and connection.sock is not None:
            self._idle.append((connection, self._clock()))
        else:
            response.close()
            connection.close()

    def _wait(self, pause_s: float, until: float | None, still: str) -> None:
        if until is not None and self._clock() + pause_s > until:
            raise RoundhouseError(still, code="not_ended")
        self._sleep(pause_s)


def sign(task: str, order: Mapping[str, Any], task_id: str, key: str | None = None) -> dict[str, Any]:
    """The only argument of a Celery message (docs/celery.md). The key itself is not in it.

    app.send_task(task, args=[sign(task, order, task_id)], queue=task, task_id=task_id), where the task, and its queue, is
    `roundhouse.submit` or `roundhouse.predict`, and the id `str(uuid.uuid4())`.
    """
    key = _checked_key(key)
    envelope = {**order, "v": 1, "key_id": key.split("_")[1], "sent_at": time.time()}
    text = json.dumps(envelope, sort_keys=True, separators=(",", ":"))
    secret = hashlib.sha256(key.encode()).hexdigest().encode()
    signed = hmac.new(secret, f"{task}\n{task_id}\n{text}".encode(), "sha256")
    return {**envelope, "signature": signed.hexdigest()}


def verify_webhook(
    body: bytes, headers: Mapping[str, str], secret: str, tolerance_s: float = 300, now: float | None = None
) -> dict[str, Any]:
    """The event in a webhook's body, as it was received; raise BadWebhook if the message is forged or too old.

    Keep the `webhook-id` of what you have processed: a message may come twice.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, sent_at = given["webhook-id"], int(given["webhook-timestamp"])
        signatures = [one[3:].encode() for one in given["webhook-signature"].split() if one.startswith("v1,")]
    except (KeyError, ValueError):
        raise BadWebhook("A header of Standard Webhooks is missing or malformed.") from None
    key = base64.b64decode(secret[len("whsec_") :] if secret.startswith("whsec_") else secret)
    content = f"{message_id}.{sent_at}.".encode() + body
    expected = base64.b64encode(hmac.new(key, content, "sha256").digest())
    matches = [hmac.compare_digest(expected, one) for one in signatures]
    if not any(matches):
        raise BadWebhook("The signature does not match the body and the secret.")
    if abs((time.time() if now is None else now) - sent_at) > tolerance_s:
        raise BadWebhook("The message is too old: it may have been recorded and sent again.")
    event: dict[str, Any] = json.loads(body)
    return event


def _checked_key(key: str | None) -> str:
    key = (key or os.environ.get("ROUNDHOUSE_KEY", "")).strip()
    if not _KEY.fullmatch(key):  # else http.client would show it in an error
        raise ValueError("Set ROUNDHOUSE_KEY to an API key, rh_….")
    return key


def _encode(value: Any) -> Any:
    """Files as base64, and arrays of numpy and the like as lists."""
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, os.PathLike):
        return base64.b64encode(Path(value).read_bytes()).decode()
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON.")


def _item_field(name: str, value: Any) -> dict[str, Any]:
    return {name: value} if isinstance(value, (str, bytes, os.PathLike)) else {f"{name}s": list(value)}


def _is_list(value: Any, *others: type) -> bool:
    """Whether it is a list, an array or the like, or one of the other types."""
    return isinstance(value, (list, tuple, *others)) or bool(getattr(value, "shape", ()))


def _image_field(image: Any) -> dict[str, Any]:
    """`image`, `image_url`, `images` or `image_urls`. A string is a URL or a path."""
    if image is None:
        raise ValueError("Send a text or an image.")
    if isinstance(image, str):
        if image.startswith(("http://", "https://")):
            return {"image_url": image}
        return {"image": image if image.startswith("data:") else Path(image)}
    if isinstance(image, (bytes, bytearray, os.PathLike)):
        return {"image": image}
    fields = [next(iter(_image_field(one).items())) for one in image]
    names = {name for name, _ in fields}
    if len(names) != 1:
        raise ValueError("Send one list of files, or one list of URLs.")
    return {f"{names.pop()}s": [value for _, value in fields]}


def _target(model: str) -> dict[str, Any]:
    """`ripeness@champion` and `ripeness/versions/1` as the fields of a job."""
    name, _, version = model.partition("/versions/")
    name, _, alias = name.partition("@")
    target: dict[str, Any] = {"model": name}
    if version:
        target["version"] = int(version)
    if alias:
        target["alias"] = alias
    return target


def _id(job: Any) -> str:
    return quote(job if isinstance(job, str) else str(job["id"]), safe="")


def _check_percent(percent: float) -> None:
    if not 0.01 <= percent <= 100:
        raise ValueError("A share has from 0.01 to 100 percent.")


def _arms(live: Mapping[int, int], number: int, share: int) -> list[dict[str, int]]:
    """The live shares, in basis points, with this one's; the largest of the others gets what rounding leaves."""
    others = {version: own for version, own in live.items() if version != number}
    left = 10_000 - share
    if left and not others:
        raise ValueError("No other version is live, so this one has to get 100 percent.")
    whole = sum(others.values())
    arms = {version: left * own // whole for version, own in others.items()}
    if arms:
        arms[max(arms, key=arms.__getitem__)] += left - sum(arms.values())
    return [{"version": version, "share": own} for version, own in (*arms.items(), (number, share)) if own]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for piece in iter(lambda: file.read(_PIECE_BYTES), b""):
            digest.update(piece)
    return digest.hexdigest()


def _read(response: http.client.HTTPResponse, most: int | None = None) -> bytes:
    """The body, or its next piece; raise Unreachable if it ends too early, which http.client itself does not see."""
    try:
        data = response.read(most)
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"The answer broke off: {error!r}.", code="broken_off") from None
    if not data and response.length:
        raise Unreachable(
            f"The answer broke off, {response.length:,} bytes before its end.", code="broken_off"
        )
    return data


def _read_json(response: http.client.HTTPResponse) -> Any:
    text = _read(response)
    try:
        return json.loads(text) if text else None
    except ValueError:
        raise RoundhouseError(
            "The answer is not Roundhouse's: is ROUNDHOUSE_URL right?", status=response.status
        ) from None


def _seconds(header: str | None, default: float) -> float:
    try:
        return max(0.0, float(header or default))
    except ValueError:
        return default


# The program

_EXAMPLES = """\
examples:
  python roundhouse.py push ripeness model.onnx --wait --ask-share 10
  python roundhouse.py push tone model.onnx --file vocab.txt --file config.json --wait
  python roundhouse.py predict ripeness '{"features": [0.21, 0.79, 0.31]}'
  python roundhouse.py job ripeness harvest.csv --output ripe.csv
  python roundhouse.py status ripeness

exit status: 0 good, 1 refused or a check failed, 2 wrong use, 3 server unreachable"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program, and return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        with Client(options.url, retry_for_s=120) as client:
            return cast("int", options.run(client, options))
    except Unreachable as error:
        _say(f"unreachable: {error}")
        return 3
    except RoundhouseError as error:
        fields = [f"  {one.get('pointer', '')} {one.get('detail', '')}" for one in error.errors]
        _say(f"refused: {error}", *fields)
        return 1
    except (ValueError, OSError) as error:
        _say(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        _say("interrupted")
        return 130


# fmt: off
def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="roundhouse.py",
        description="Calls a Roundhouse server. The API key is read from ROUNDHOUSE_KEY.\n"
        "Results go to standard output, progress and errors to standard error.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"roundhouse.py {__version__}")
    parser.add_argument("--url", help="the server's address; default: ROUNDHOUSE_URL")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    push = commands.add_parser("push", help="upload a model file as a new version; print the version as JSON")
    push.set_defaults(run=_push)
    push.add_argument("model", help="name of the Model")
    push.add_argument("path", type=Path, metavar="FILE", help="the .onnx file, or a zip of it and its other files")
    push.add_argument("--file", type=Path, action="append", default=[], dest="files", metavar="FILE",
                      help="another file of the model: weights, tokenizer.json, config.json; may be repeated")
    push.add_argument("--label", action="append", default=[], dest="labels", metavar="LABEL",
                      help="a label, in the order of the model's scores; may be repeated")
    push.add_argument("--task-config", type=Path, metavar="FILE", help="JSON file with the task configuration")
    push.add_argument("--training", type=Path, metavar="FILE",
                      help="JSON file with where it comes from: run_url, git_commit, data_set, metrics, tags")
    push.add_argument("--new-model", metavar="TASK", help="create the Model, with this task, such as tensor")
    push.add_argument("--notes", default="", help="notes on the version")
    push.add_argument("--resume", action="store_true", help="go on with the uploads that an earlier run began")
    push.add_argument("--wait", action="store_true", help="wait for the checks; exit with 1 if they fail")
    push.add_argument("--timeout", type=float, default=1800, metavar="SECONDS", help="for --wait; default: 1800")
    push.add_argument("--ask-share", type=float, metavar="PERCENT",
                      help="wait, and request this share of live traffic; another person approves it")
    push.add_argument("--comment", default="pushed with roundhouse.py", help="why; shown to the approver")

    predict = commands.add_parser("predict", help="send one prediction; print its answer")
    predict.set_defaults(run=_predict)
    predict.add_argument("model", help="name of the Model; also NAME@ALIAS and NAME/versions/NUMBER")
    what = predict.add_mutually_exclusive_group(required=True)
    what.add_argument("body", nargs="?", help="the request as JSON; `-` reads it from standard input")
    what.add_argument("--text", help="a text")
    what.add_argument("--image", help="a picture: a file or a URL")

    job = commands.add_parser("job", help="run a job on a file, and download its results")
    job.set_defaults(run=_job)
    job.add_argument("model", help="name of the Model")
    job.add_argument("path", type=Path, metavar="FILE", help="CSV, JSONL, NPZ, Parquet or a zip of pictures; also .gz")
    job.add_argument("--contract", type=json.loads, metavar="JSON", help="which columns fill which inputs (docs/jobs.md)")
    job.add_argument("--output", type=Path, metavar="FILE", help="where to write the results; default: standard output")
    job.add_argument("--output-format", choices=["csv", "jsonl", "npz", "parquet"])

    status = commands.add_parser("status", help="print which versions are live, of one Model or of all")
    status.set_defaults(run=_status)
    status.add_argument("model", nargs="?", help="name of the Model")
    return parser
# fmt: on


def _push(client: Client, options: argparse.Namespace) -> int:
    if options.ask_share is not None:
        _check_percent(options.ask_share)
    config = json.loads(options.task_config.read_text()) if options.task_config else {}
    training = json.loads(options.training.read_text()) if options.training else None
    new_model = {"task": options.new_model} if options.new_model else None
    shown = _Percent("sent")
    try:
        version = client.push(
            options.model, options.path, files=options.files, new_model=new_model, labels=options.labels,
            task_config=config, notes=options.notes, training=training, resume=options.resume,
            on_bytes=lambda sent, size: shown(sent / size),
        )  # fmt: skip
    except RoundhouseError as error:
        if isinstance(error, Unreachable) or shown.tenths:
            _say("the same command with --resume does not send again what has arrived")
        raise
    _say(f"{version['model']} version {version['number']} is being checked")
    if not options.wait and options.ask_share is None:
        _print(version)
        return 0
    check = client.wait_for_checks(version, on_step=_say_step, timeout_s=options.timeout)
    address = f"models/{quote(version['model'])}/versions/{version['number']}"
    result = {**client.call("GET", address), "check": check}
    try:
        if check["state"] == "passed" and options.ask_share is not None:
            result["request"] = client.ask_share(version, options.ask_share, options.comment)
            _say(f"request {result['request']['id']} for {options.ask_share:g} % waits for approval")
    finally:
        _print(result)
    return 0 if check["state"] == "passed" else 1


def _predict(client: Client, options: argparse.Namespace) -> int:
    if options.text is not None:
        body = {"text": options.text}
    elif options.image is not None:
        body = _image_field(options.image)
    else:
        body = json.loads(sys.stdin.read() if options.body == "-" else options.body)
    _print(client.ask(options.model, body))
    return 0


def _job(client: Client, options: argparse.Namespace) -> int:
    shown = _Percent("answered")
    job = client.start_job(
        options.model, options.path, contract=options.contract, output_format=options.output_format
    )
    _say(f"job {job['id']} is {job['status']}")
    job = client.wait_for_job(job, on_job=lambda now: shown(now["progress"]["fraction"]))
    rows = job["progress"]
    counts = f"{rows['rows_done']:,} rows, {rows['rows_bad']:,} skipped. {job['failure']}"
    _say(f"job {job['id']} is {job['status']}: {counts}".rstrip())
    if job["status"] != "done":
        return 1
    if options.output is not None:
        client.download(job, options.output)
    else:
        sys.stdout.buffer.write(client.results(job))
    return 0


def _status(client: Client, options: argparse.Namespace) -> int:
    _print(client.call("GET", f"models/{quote(options.model)}/live" if options.model else "live"))
    return 0


class _Percent:
    """Says every tenth once."""

    def __init__(self, what: str) -> None:
        self._what, self.tenths = what, 0

    def __call__(self, fraction: float) -> None:
        if int(fraction * 10) != self.tenths:
            self.tenths = int(fraction * 10)
            _say(f"{self.tenths * 10} % {self._what}")


def _say_step(line: Mapping[str, Any]) -> None:
    _say(f"{line['title']}: {line['state']}. {line['reason']} {line['advice']}".rstrip())


def _say(*lines: str) -> None:
    print(*lines, sep="\n", file=sys.stderr, flush=True)


def _print(value: Any) -> None:
    print(json.dumps(value, indent=2))


if __name__ == "__main__":
    sys.exit(main())
