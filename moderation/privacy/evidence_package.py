"""Packages of evidence: everything about a restricted case in one zip, with hashes, signed."""

import hashlib
import hmac
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.db.models import Sum
from django.db.models.functions import Length
from django.utils import timezone

from inference.jobs.files import scratch_file
from moderation.appeals.models import Appeal
from moderation.cases.models import Case
from moderation.deciding.answers import stored_explanation
from moderation.deciding.findings import Findings, image_part
from moderation.deciding.models import Decision, StoredContent, StoredPicture
from moderation.reports.models import Report
from moderation.review.models import FinalDecision, Verdict
from moderation.rights import ModerationRight
from registry.errors import Conflict, Invalid
from registry.kit.actors import Actor
from registry.kit.text import MAX_REASON, checked_line
from registry.record.audit import audit_key, record_change
from registry.record.models import AuditRecord

FORMAT = "roundhouse evidence package 1"
MOST_CONTENTS, MOST_BYTES = 1_000, 1 << 30
_MANIFEST, _SIGNATURE = "manifest.json", "manifest.hmac"
_MOST_MANIFEST = 16 << 20
_READ_AT_ONCE = 1 << 20
_EXTENSIONS = (
    (b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpg"), (b"GIF8", "gif"), (b"BM", "bmp"), (b"RIFF", "webp"),
)  # fmt: skip
_README = """\
Evidence package of case {case}
{line}

Made by {by} with Roundhouse on {at}, because: {reason}

What is in it
  case.json            the case, the verdicts, what stands, reports and appeals
  contents/            a folder for each content: what was decided and found, its texts, its pictures as they were sent,
                       with their SHA-256, MD5 and PDQ hashes in decision.json
  audit.jsonl          the records of Roundhouse's audit log about this case, each with the hash that chains it to the one before
  manifest.json        the size and SHA-256 of each file
  manifest.hmac        an HMAC-SHA256 over manifest.json, by a key of the installation that made the package

How to verify it
  On that installation:  python manage.py verify_evidence_package FILE.zip
  Anywhere, without the key: compare the SHA-256 of each file with manifest.json. That shows damage, not forgery.

Roundhouse has sent nothing to anybody. Whoever has to report this content to an authority must do so themselves. To store
or pass on what is in here may be a crime where you are; ask a lawyer, and delete the package when it is not needed any more.
"""


def make_evidence_package(*, case: Case, reason: str, by: Actor) -> IO[bytes]:
    """A zip with everything about a restricted case, in a file that is gone when it is closed. That it was made is recorded.

    Nothing is sent to anybody.
    """
    by.check(ModerationRight.SEE_RESTRICTED)
    by.check(ModerationRight.LEAD)
    reason = checked_line(reason, what="reason", longest=MAX_REASON)
    if not case.is_restricted:
        raise Conflict("Only restricted cases have a package of evidence.")
    decisions = list(
        Decision.objects.filter(case_items__case=case, case_items__is_withdrawn=False)
        .select_related("policy", "revision", "tenant")
        .order_by("received_at", "pk")[: MOST_CONTENTS + 1]
    )
    _check_size(decisions)
    now = timezone.now()
    file = scratch_file()
    try:
        # Outside of a transaction: it may take minutes, in which others could not write to SQLite.
        listed = _write(file, case, decisions, now, reason, by)
        with transaction.atomic():
            record_change(
                action="download_evidence",
                subject=case,
                before=None,
                after={"contents": len(decisions), "files": len(listed)},
                reason=reason,
                by=by,
            )
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def verify_evidence_package(file: IO[bytes]) -> list[str]:
    """What is wrong with a package, in sentences; nothing, if it is as this installation made it."""
    try:
        with ZipFile(file) as package:
            return _faults(package)
    except (
        BadZipFile,
        zlib.error,
        KeyError,
        ValueError,
        TypeError,
        NotImplementedError,
        RuntimeError,
        EOFError,
    ):
        return ["This is no package of evidence, or it is damaged."]


def _write(
    file: IO[bytes], case: Case, decisions: Sequence[Decision], now: datetime, reason: str, by: Actor
) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = []
    with ZipFile(file, "w", ZIP_DEFLATED) as package:

        def add(name: str, content: bytes, compression: int = ZIP_DEFLATED) -> None:
            package.writestr(name, content, compression)
            listed.append(
                {"name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            )

        facts = {"case": case.pk, "by": by.name, "at": now.isoformat(), "reason": reason}
        add("README.txt", _README.format(**facts, line="=" * (len(str(case.pk)) + 25)).encode())
        add("case.json", _json(_case_facts(case, decisions)))
        for number, decision in enumerate(decisions, start=1):
            for name, content, compression in _content_files(decision):
                add(f"contents/{number:04d}/{name}", content, compression)
        add("audit.jsonl", b"".join(_audit_lines(case)))
        manifest = _json({"format": FORMAT, **facts, "files": listed})
        package.writestr(_MANIFEST, manifest)
        package.writestr(_SIGNATURE, _signature(manifest))
    return listed


def _check_size(decisions: Sequence[Decision]) -> None:
    ids = [one.pk for one in decisions]
    pictures = StoredPicture.objects.filter(decision__in=ids, file__isnull=False)
    size = pictures.aggregate(size=Sum(Length("file")))["size"] or 0
    if len(decisions) > MOST_CONTENTS or size > MOST_BYTES:
        raise Invalid(
            f"The case is too large: a package has at most {MOST_CONTENTS:,} contents and {MOST_BYTES >> 30} GiB of pictures."
        )


def _case_facts(case: Case, decisions: Sequence[Decision]) -> dict[str, Any]:
    ids = [one.pk for one in decisions]
    finals = FinalDecision.objects.filter(decision__in=ids).order_by("pk")
    appeals = Appeal.objects.filter(contested__in=finals.order_by().values("pk")).order_by("pk")
    reports = Report.objects.filter(decision__in=ids).order_by("pk")
    verdicts = Verdict.objects.filter(case__items__decision__in=ids).distinct().order_by("pk")
    return {
        "number": case.pk,
        "status": case.status,
        "source": case.source,
        "violation": case.code,
        "harm": case.get_harm_display(),
        "opened_at": case.opened_at,
        "ended_at": case.ended_at,
        "note": case.note,
        "verdicts": [
            {
                "case": one.case_id,
                "reviewer": one.reviewer_name,
                "action": one.action.name,
                "verdict": one.ruling,
                "violations": one.codes,
                "note": one.note,
                "status": one.status,
                "made_at": one.made_at,
            }
            for one in verdicts.select_related("action")
        ],
        "final_decisions": list(
            finals.values(
                "content_key", "sequence", "decision", "ruling", "action", "effect", "codes", "decided_by",
                "author_id", "statement", "notice", "made_at",
            )
        ),
        "reports": list(
            reports.values("pk", "decision", "source", "reporter_id", "code", "text", "status", "made_at")
        ),
        "appeals": list(appeals.values("pk", "author_id", "text", "status", "made_at", "answered_at")),
    }  # fmt: skip


def _content_files(decision: Decision) -> Iterator[tuple[str, bytes, int]]:
    """Names, bytes, and how to compress them: pictures are compressed already."""
    content = StoredContent.objects.filter(decision=decision).first()
    findings, explanation = Findings.from_bytes(decision.findings), stored_explanation(decision)
    hashes = {part: (sha256, md5, pdq, quality) for part, sha256, md5, pdq, quality in findings.pictures}
    pictures = StoredPicture.objects.filter(decision=decision).defer("file")
    count = pictures.count()
    shown = []
    for picture in pictures:
        file = bytes(picture.file or b"")  # one at a time
        sha256, md5, pdq, quality = hashes.get(image_part(picture.number, count), ("", "", "", None))
        name = f"picture-{picture.number + 1}.{_extension(file)}" if file else ""
        shown.append({
            "file": name,
            "url": picture.url,
            "sha256": hashlib.sha256(file).hexdigest() if file else sha256,
            "md5": hashlib.md5(file, usedforsecurity=False).hexdigest() if file else md5,
            "pdq": pdq,
            "pdq_quality": quality,
        })  # fmt: skip
        if file:
            yield name, file, ZIP_STORED
    for name, text in (("text", content.text), ("title", content.title)) if content is not None else ():
        if text:
            yield f"{name}.txt", text.encode(), ZIP_DEFLATED
    facts = {
        "request_id": decision.request_id,
        "decision": decision.ruling,
        "violations": decision.codes,
        "policy": decision.policy.name,
        "policy_revision": decision.revision.number,
        "tenant": decision.tenant.slug if decision.tenant is not None else None,
        "content_id": decision.content_id,
        "author_id": decision.author_id,
        "context": decision.context,
        "language": decision.language,
        "thread": decision.thread,
        "url": decision.url,
        "received_at": decision.received_at,
        "decided_at": decision.decided_at,
        "is_content_kept": content is not None,
        "pictures": shown,
        "evidence": [one._asdict() for one in explanation.evidence],
        "problems": [one._asdict() for one in explanation.problems],
        "findings": json.loads(findings.to_bytes()),
    }
    yield "decision.json", _json(facts), ZIP_DEFLATED


def _audit_lines(case: Case) -> Iterator[bytes]:
    records = AuditRecord.objects.filter(object_id=str(case.pk), object_kind="case").order_by("seq")
    names = [field.attname for field in AuditRecord._meta.concrete_fields]
    for values in records.values(*names):
        yield json.dumps(values, cls=DjangoJSONEncoder, ensure_ascii=False).encode() + b"\n"


def _faults(package: ZipFile) -> list[str]:
    if package.getinfo(_MANIFEST).file_size > _MOST_MANIFEST:
        return ["Its manifest is too large."]
    manifest = package.read(_MANIFEST)
    signature = package.read(_SIGNATURE).decode("ascii", "replace")
    if not hmac.compare_digest(_signature(manifest).encode(), signature.encode()):
        return ["The manifest was altered, or made by an installation with another key."]
    listed: Mapping[str, Any] = {one["name"]: one for one in json.loads(manifest)["files"]}
    names = [info.filename for info in package.infolist()]
    faults = [f"{name} is missing." for name in listed if name not in names]
    faults += [
        f"{name} is not in the manifest." for name in names if name not in {*listed, _MANIFEST, _SIGNATURE}
    ]
    faults += [
        f"{name} is there twice." for name in sorted({name for name in names if names.count(name) > 1})
    ]
    for name, one in listed.items():
        if name in names and _sha256(package, name, one["bytes"]) != one["sha256"]:
            faults.append(f"{name} was altered.")
    return faults


def _sha256(package: ZipFile, name: str, expected_bytes: int) -> str:
    """The file's hash; nothing, if it is longer than it should be."""
    digest, left = hashlib.sha256(), expected_bytes
    with package.open(name) as file:
        while block := file.read(_READ_AT_ONCE):
            left -= len(block)
            if left < 0:
                return ""
            digest.update(block)
    return digest.hexdigest()


def _signature(manifest: bytes) -> str:
    key = hmac.digest(audit_key(), FORMAT.encode(), "sha256")
    return hmac.digest(key, manifest, "sha256").hex()


def _json(value: Any) -> bytes:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False, indent=2).encode()


def _extension(file: bytes) -> str:
    return next((name for beginning, name in _EXTENSIONS if file.startswith(beginning)), "bin")
