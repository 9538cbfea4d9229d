"""Files that leave the house: by a link, or to a path of this machine."""

import os
import time
from pathlib import Path

from django.conf import settings
from django.db import transaction

from registry.access.policies import Right, decode_actor, encode_actor
from registry.catalogue import artifacts
from registry.catalogue.artifacts import FolderStore, StoredFile, read_chunks
from registry.catalogue.download_links import Link, file_name_of, read_link
from registry.catalogue.errors import other_bytes
from registry.catalogue.models import Version
from registry.errors import ArtifactMissing, Conflict, Invalid, NotAllowed
from registry.kit.actors import Actor
from registry.record.audit import record_change


def make_download_link(*, version: Version, by: Actor) -> Link:
    """Let its bearer take the version's file for a short time.

    The record is made here and not at each use: whoever holds a link may use it many times, to go on after a lost
    connection, and a GET must not make the chain longer. Uses are in the log.
    """
    by.check(Right.DOWNLOAD, model_id=version.model_id)
    sha256 = version.artifact.sha256
    if not artifacts.current_store().has(sha256):
        raise ArtifactMissing(f"The file {sha256[:12]} is not in the store; upload the version again.")
    link = Link(version.pk, encode_actor(by), int(time.time()) + settings.DOWNLOAD_LINK_S)
    with transaction.atomic():
        record_change(
            action="make_download_link",
            subject=version,
            before=None,
            after={**_told(version), "expires_at": link.expires},
            by=by,
        )
    return link


def follow_link(text: str, *, request_id: str = "") -> tuple[Version, Actor]:
    """Return what a link leads to, and who asked for it, if they still may."""
    link = read_link(text)
    by = decode_actor(link.asker, request_id=request_id)
    version = Version.objects.select_related("model", "artifact").filter(pk=link.version_id).first()
    if version is None or not by.may(Right.DOWNLOAD, model_id=version.model_id):
        raise NotAllowed("Whoever asked for this link may no longer download the file.")
    return version, by


def export_artifact(*, version: Version, path: Path, by: Actor) -> Path:
    """Copy the version's file to a path, or under its own name into a folder; all of it and verified, or nothing."""
    by.check(Right.DOWNLOAD, model_id=version.model_id)
    target = path / file_name_of(version) if path.is_dir() else path
    if target.exists():
        raise Conflict(f"{target} exists; remove it first or choose another path.")
    if not target.parent.is_dir():
        raise Invalid(f"There is no folder {target.parent}; make it first.")
    known = StoredFile(version.artifact.sha256, version.artifact.size_bytes)
    with (
        artifacts.path_of(known.sha256).open("rb") as source,
        FolderStore(target.parent).incoming(read_chunks(source)) as (scratch, found),
    ):
        if found != known:
            raise other_bytes(version.artifact)
        with transaction.atomic():
            record_change(
                action="export_artifact",
                subject=version,
                before=None,
                after={**_told(version), "path": str(target.absolute())},
                by=by,
            )
        os.replace(scratch, target)  # last: no file without its record
    return target


def _told(version: Version) -> dict[str, str | int]:
    artifact = version.artifact
    return {"file_name": file_name_of(version), "sha256": artifact.sha256, "size_bytes": artifact.size_bytes}
