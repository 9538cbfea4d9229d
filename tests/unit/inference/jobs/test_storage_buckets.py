"""Against Django's own storage on a disk; what boto3 adds is not ours."""

import pytest
from django.core.files.storage import FileSystemStorage

from inference.jobs.errors import BadStore, NotInStore, StoreUnavailable
from inference.jobs.storage_backends import BucketFiles, check_bucket


class Overwriting(FileSystemStorage):
    """As the S3 storage is set up."""

    def __init__(self, location):
        super().__init__(location=location, allow_overwrite=True)


@pytest.fixture
def files(tmp_path, settings):
    settings.DATA_DIR = tmp_path / "data"
    return BucketFiles("bucket", "prefix", storage=Overwriting(tmp_path / "bucket"))


def test_objects_are_written_and_read(files):
    for data in (b"first", b"second"):
        with files.writing("out/result.csv") as file:
            file.write(data)

    with files.reading("out/result.csv") as file:
        assert file.read() == b"second"


def test_a_missing_object_is_told(files):
    with pytest.raises(NotInStore), files.reading("no"):
        pass


def test_an_object_that_fails_on_the_way_is_not_sent(files):
    class Stop(Exception): ...

    with pytest.raises(Stop), files.writing("out") as file:
        file.write(b"half")
        raise Stop
    with pytest.raises(NotInStore), files.reading("out"):
        pass


def test_a_bucket_that_does_not_answer_is_told_without_its_name(files, monkeypatch):
    def fail(*_args, **_more):
        raise ConnectionError("s3://secret-bucket")

    monkeypatch.setattr(files._storage, "open", fail)
    monkeypatch.setattr(files._storage, "save", fail)

    with pytest.raises(StoreUnavailable) as reading, files.reading("x"):
        pass
    with pytest.raises(StoreUnavailable) as writing, files.writing("x"):
        pass
    assert "secret-bucket" not in f"{reading.value} {writing.value}"


@pytest.mark.parametrize(
    ("own", "bucket", "prefix", "fits"),
    [
        (None, "any", "", True),
        ("s3://own/models", "other", "models", True),
        ("s3://own/models", "own", "jobs", True),
        ("s3://own/models", "own", "models-2", True),
        ("s3://own/models", "own", "models", False),
        ("s3://own/models", "own", "models/x", False),
        ("s3://own/a/models", "own", "a", False),
        ("s3://own/models", "own", "", False),
        ("s3://own", "own", "jobs", False),
        (None, "a/b", "", False),
        (None, "s3://a", "", False),
    ],
)
def test_a_store_may_not_hold_model_files(settings, own, bucket, prefix, fits):
    settings.ARTIFACT_STORE_URL = own

    if fits:
        check_bucket(bucket, prefix)
        return
    with pytest.raises(BadStore):
        check_bucket(bucket, prefix)
