"""Downloads of artifacts, by link or to a path on this machine, and of task files."""

import os
import time
from pathlib import Path

from django.conf import settings
from django.db import transaction

from registry.access.policies import Right, decode_actor, encode_actor
from registry.catalogue import artifacts
from registry.catalogue.artifacts import FolderStore, StoredFile, read_chunks
from registry.catalogue.downloads import DownloadLink, file_name_of, read_link
from registry.catalogue.errors import hash_mismatch
from registry.catalogue.models import Artifact, Version
from registry.errors import Conflict, Invalid, NotAllowed, NotFound
from registry.kit.actors import Actor
from registry.record.audit import record_change


def make_download_link(*, version: Version, by: Actor) -> DownloadLink:
    """Create a link that downloads the version's file for a short time.

    Creating it is audited, using it is only logged: a client may use one link many times to resume, and a GET must
    not extend the audit chain.
    """
    by.check(Right.DOWNLOAD, model_id=version.model_id)
    sha256 = version.artifact.sha256
    if not artifacts.current_store().has(sha256):
        raise artifacts.not_in_store(sha256)
    link = DownloadLink(version.pk, encode_actor(by), int(time.time()) + settings.DOWNLOAD_LINK_S)
    with transaction.atomic():
        record_change(
            action="make_download_link",
            subject=version,
            before=None,
            after={**_audit_fields(version), "expires_at": link.expires},
            by=by,
        )
    return link


def follow_link(text: str, *, request_id: str = "") -> tuple[Version, Actor]:
    """The version a link points to and the actor it was created for; raise NotAllowed if the actor lost the right."""
    link = read_link(text)
    by = decode_actor(link.actor, request_id=request_id)
    version = Version.objects.select_related("model", "artifact").filter(pk=link.version_id).first()
    if version is None or not by.may(Right.DOWNLOAD, model_id=version.model_id):
        raise NotAllowed("This link was created for someone who may no longer download the file.")
    return version, by


def task_file(*, version: Version, name: str, by: Actor) -> Artifact:
    """The stored task file of this name."""
    by.check(Right.DOWNLOAD, model_id=version.model_id)
    sha256 = version.task_files.get(name)
    if sha256 is None:
        raise NotFound(f"{version} has no task file of this name.")
    return Artifact(
        sha256=sha256, size_bytes=artifacts.path_of(sha256).stat().st_size
    )  # a row is for models only


def export_artifact(*, version: Version, path: Path, by: Actor) -> Path:
    """Copy the version's file to a path, or into a folder under its own name; the copy is verified and atomic."""
    by.check(Right.DOWNLOAD, model_id=version.model_id)
    target = path / file_name_of(version) if path.is_dir() else path
    if target.exists():
        raise Conflict(f"{target} already exists; remove it first or choose another path.")
    if not target.parent.is_dir():
        raise Invalid(f"There is no folder {target.parent}; create it first.")
    registered = StoredFile(version.artifact.sha256, version.artifact.size_bytes)
    with (
        artifacts.path_of(registered.sha256).open("rb") as source,
        FolderStore(target.parent).incoming(read_chunks(source)) as (scratch, copied),
    ):
        if copied != registered:
            raise hash_mismatch(version.artifact)
        with transaction.atomic():
            record_change(
                action="export_artifact",
                subject=version,
                before=None,
                after={**_audit_fields(version), "path": str(target.absolute())},
                by=by,
            )
        os.replace(scratch, target)  # last, so that no file exists without its record
    return target


def _audit_fields(version: Version) -> dict[str, str | int]:
    artifact = version.artifact
    return {"file_name": file_name_of(version), "sha256": artifact.sha256, "size_bytes": artifact.size_bytes}
