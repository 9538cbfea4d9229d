"""Packages of evidence: what is in them, who may have them, and that forgeries are noticed."""

import hashlib
import json
from io import BytesIO
from zipfile import ZIP_STORED, ZipFile

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.urls import reverse

from moderation.cases.models import Case
from moderation.deciding.findings import Findings
from moderation.privacy import evidence_package
from moderation.privacy.evidence_package import make_evidence_package, verify_evidence_package
from moderation.privacy.looks import record_look
from moderation.reports.services import make_report
from moderation.rights import ModerationRight, ModerationRole
from registry.errors import Conflict, Invalid, NotAllowed
from registry.record.models import AuditRecord
from tests.support.cases import a_case, a_guideline, a_reviewer, decide, finish, person_behind
from tests.support.decision_rows import a_list_policy, a_png
from tests.support.factories import an_actor

pytestmark = [pytest.mark.django_db, pytest.mark.both]

REASON = "Request 17 of the police"
PDQ = "0f" * 32


@pytest.fixture
def lead():
    return a_reviewer(ModerationRole.LEAD, ModerationRole.CHILD_SAFETY, username="lea")


@pytest.fixture
def case():
    a_guideline(is_restricted=True)
    sha256 = hashlib.sha256(a_png()).hexdigest()
    findings = Findings(["text", "image"], pictures=[["image", sha256, "5d41", PDQ, 90]])
    return a_case(
        a_list_policy(),
        "you blockhead",
        pictures=(a_png(),),
        findings=findings,
        content_id="c1",
        author_id="ann",
    )


def package_of(case, lead):
    with make_evidence_package(case=case, reason=REASON, by=lead) as file:
        return file.read()


def altered(package, change):
    """The package, with its files as `change` leaves them."""
    with ZipFile(BytesIO(package)) as old:
        files = {name: old.read(name) for name in old.namelist()}
    change(files)
    new = BytesIO()
    with ZipFile(new, "w") as target:
        for name, content in files.items():
            target.writestr(name, content)
    return new


class TestContents:
    def test_it_has_everything(self, case, lead):
        record_look(case=case, by=lead)
        decision = case.items.get().decision
        make_report(decision=decision, text="Look", reporter_id="bob", by=an_actor(ModerationRight.REPORT))
        finish(decide(case, "remove", lead, note="Clear"))

        with ZipFile(BytesIO(package_of(case, lead))) as package:
            files = {name: package.read(name) for name in package.namelist()}

        facts = json.loads(files["contents/0001/decision.json"])
        (picture,) = facts["pictures"]
        assert files[f"contents/0001/{picture['file']}"] == a_png()
        assert picture["sha256"] == hashlib.sha256(a_png()).hexdigest()
        assert picture["md5"] == hashlib.md5(a_png()).hexdigest()
        assert picture["pdq"] == PDQ
        assert files["contents/0001/text.txt"] == b"you blockhead"
        assert (facts["author_id"], facts["violations"]) == ("ann", ["slurs"])
        case_facts = json.loads(files["case.json"])
        assert [one["note"] for one in case_facts["verdicts"]] == ["Clear"]
        assert [one["text"] for one in case_facts["reports"]] == ["Look"]
        assert case_facts["final_decisions"][0]["ruling"] == "block"
        actions = [json.loads(line)["action"] for line in files["audit.jsonl"].splitlines()]
        assert actions == ["look_at_restricted", "decide_case"]
        assert b"sent nothing to anybody" in files["README.txt"]

    def test_pictures_are_not_compressed_again(self, case, lead):
        with ZipFile(BytesIO(package_of(case, lead))) as package:
            stored = {one.filename for one in package.infolist() if one.compress_type == ZIP_STORED}

        assert stored == {"contents/0001/picture-1.png"}

    def test_others_can_write_while_it_is_built(self, case, lead, monkeypatch):
        outside, inside = len(connection.savepoint_ids), []
        write = evidence_package._write

        def watched(*args):
            inside.append(len(connection.savepoint_ids))
            return write(*args)

        monkeypatch.setattr(evidence_package, "_write", watched)
        package_of(case, lead)

        assert inside == [outside]

    def test_the_manifest_has_the_hash_of_each_file(self, case, lead):
        with ZipFile(BytesIO(package_of(case, lead))) as package:
            listed = json.loads(package.read("manifest.json"))["files"]
            hashes = {one["name"]: hashlib.sha256(package.read(one["name"])).hexdigest() for one in listed}
            names = set(package.namelist())

        assert {one["name"]: one["sha256"] for one in listed} == hashes
        assert names == {*hashes, "manifest.json", "manifest.hmac"}

    def test_that_it_was_made_is_recorded(self, case, lead):
        package_of(case, lead)

        record = AuditRecord.objects.get(action="download_evidence")
        assert (record.actor_name, record.reason, record.after["contents"]) == ("lea", REASON, 1)


class TestWhoMay:
    @pytest.mark.parametrize(
        "roles", [(ModerationRole.LEAD,), (ModerationRole.REVIEWER, ModerationRole.CHILD_SAFETY)]
    )
    def test_both_rights_are_needed(self, case, roles):
        with pytest.raises(NotAllowed):
            package_of(case, a_reviewer(*roles))

        assert not AuditRecord.objects.filter(action="download_evidence").exists()

    def test_a_reason_is_needed(self, case, lead):
        with pytest.raises(Invalid):
            make_evidence_package(case=case, reason=" ", by=lead)

    def test_only_restricted_cases_have_one(self, lead):
        with pytest.raises(Conflict):
            package_of(a_case(a_list_policy()), lead)

    def test_a_case_that_is_too_large_has_none(self, case, lead, monkeypatch):
        monkeypatch.setattr(evidence_package, "MOST_BYTES", len(a_png()) - 1)

        with pytest.raises(Invalid, match="too large"):
            package_of(case, lead)


class TestVerification:
    def test_an_intact_one(self, case, lead):
        assert verify_evidence_package(BytesIO(package_of(case, lead))) == []

    @pytest.mark.parametrize(
        ("change", "fault"),
        [
            (lambda files: files.update({"contents/0001/text.txt": b"you darling"}), "text.txt was altered"),
            (lambda files: files.update({"contents/0001/text.txt": b"x" * 99}), "text.txt was altered"),
            (lambda files: files.pop("audit.jsonl"), "audit.jsonl is missing"),
            (lambda files: files.update({"more.txt": b"more"}), "more.txt is not in the manifest"),
            (lambda files: files.update({"manifest.json": b"{}"}), "manifest was altered"),
            (lambda files: files.update({"manifest.hmac": b"\xff"}), "manifest was altered"),
            (lambda files: files.pop("manifest.json"), "no package"),
        ],
    )
    def test_an_altered_one(self, case, lead, change, fault):
        (found,) = verify_evidence_package(altered(package_of(case, lead), change))

        assert fault in found

    def test_a_damaged_one(self, case, lead):
        package = bytearray(package_of(case, lead))
        with ZipFile(BytesIO(package)) as intact:
            entry = intact.getinfo("manifest.json")
        begins = entry.header_offset + 30 + len(entry.filename)
        package[begins] |= 0b110  # a kind of block that deflate does not have

        assert "damaged" in verify_evidence_package(BytesIO(package))[0]

    def test_another_installations(self, case, lead, settings):
        package = package_of(case, lead)
        settings.AUDIT_KEY = "another key"

        assert "another key" in verify_evidence_package(BytesIO(package))[0]

    def test_no_zip(self):
        assert verify_evidence_package(BytesIO(b"PK\x03\x04nothing")) != []

    def test_the_command(self, case, lead, tmp_path, capsys):
        file = tmp_path / "package.zip"
        file.write_bytes(package_of(case, lead))
        call_command("verify_evidence_package", str(file))
        assert "is intact" in capsys.readouterr().out

        file.write_bytes(altered(file.read_bytes(), lambda files: files.pop("case.json")).getvalue())
        with pytest.raises(CommandError, match=r"case\.json is missing"):
            call_command("verify_evidence_package", str(file))


class TestPage:
    def test_it_asks_why_and_then_sends_the_package(self, client, case, lead):
        client.force_login(person_behind(lead))
        address = reverse("moderation_case_evidence", args=[case.pk])

        asked = client.get(address).content.decode()
        assert "sends nothing to any authority" in asked
        response = client.post(address, {"reason": REASON})

        assert response["Content-Disposition"] == f'attachment; filename="evidence-case-{case.pk}.zip"'
        assert verify_evidence_package(BytesIO(b"".join(response.streaming_content))) == []

    def test_the_cases_page_leads_there(self, client, case, lead):
        address = reverse("moderation_case_evidence", args=[case.pk])
        page = reverse("admin:moderation_case_change", args=[case.pk])

        client.force_login(person_behind(lead))
        assert address in client.get(page).content.decode()
        client.force_login(person_behind(a_reviewer(ModerationRole.REVIEWER, ModerationRole.CHILD_SAFETY)))
        assert address not in client.get(page).content.decode()

    def test_without_a_reason_it_asks_again(self, client, case, lead):
        client.force_login(person_behind(lead))

        response = client.post(reverse("moderation_case_evidence", args=[case.pk]), {"reason": ""})

        assert "required" in response.content.decode()
        assert not AuditRecord.objects.filter(action="download_evidence").exists()

    def test_others_get_none(self, client, case, lead):
        client.force_login(person_behind(a_reviewer(ModerationRole.LEAD)))
        assert client.post(reverse("moderation_case_evidence", args=[case.pk])).status_code == 403

        Case.objects.update(is_restricted=False)
        client.force_login(person_behind(lead))
        assert client.get(reverse("moderation_case_evidence", args=[case.pk])).status_code == 404
