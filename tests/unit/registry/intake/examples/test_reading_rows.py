"""Single rows of a stored golden set are read without those before them."""

import json

import pytest

from registry.intake.examples.rows import read_rows, read_rows_numbered


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "set"
    lines = (json.dumps({"inputs": {"x": "y" * number}, "label": number}) for number in (1, 2, 3))
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def labels(rows):
    return [(row.number, row.label) for row in rows]


def test_numbers_count_from_one_and_those_that_are_not_there_are_left_out(path):
    assert labels(read_rows(path)) == [(1, 1), (2, 2), (3, 3)]
    assert labels(read_rows_numbered(path, [3, 1, 3, 0, 4, -1])) == [(1, 1), (3, 3)]


def test_only_the_first_time_reads_the_file_from_its_start(path):
    assert labels(read_rows_numbered(path, [3])) == [(3, 3)]
    *before, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"\n" * sum(map(len, before)) + last)

    assert labels(read_rows_numbered(path, [3])) == [(3, 3)]
