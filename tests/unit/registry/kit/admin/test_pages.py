import csv
import io

import pytest

from registry.kit.admin.pages import csv_response, safe_cell

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x")', "=cmd|' /C calc'!A0"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_becomes_text(text):
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["a=1", "", "'x", -1, 1.5, None], ids=str)
def test_anything_else_stays(value):
    assert safe_cell(value) == value


def test_a_table_can_be_read_back():
    rows = [["a,b", 'say "hi"', "two\nlines", "=1", -1]]

    response = csv_response("audit", ["one", "two", "three", "four", "five"], iter(rows))

    assert response["Content-Disposition"] == 'attachment; filename="audit.csv"'
    text = b"".join(response).decode()
    assert list(csv.reader(io.StringIO(text)))[1] == ["a,b", 'say "hi"', "two\nlines", "'=1", "-1"]


def test_rows_are_read_only_as_they_are_sent():
    taken = []

    def rows():
        for number in range(3):
            taken.append(number)
            yield [number]

    lines = iter(csv_response("x", ["n"], rows()))
    next(lines), next(lines)

    assert taken == [0]
