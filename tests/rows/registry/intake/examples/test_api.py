import json

import pytest
from django.core.management import CommandError, call_command

from registry.intake.examples import rows
from registry.intake.examples.models import ConformanceExample, GoldenSet
from tests.support.factories import a_golden_result, a_model, a_version, an_uploaded_version

pytestmark = pytest.mark.django_db
EXAMPLE = {"inputs": {"x": [[1, 2.5]]}, "expected": {"y": [0.5]}}
ROWS = b'{"inputs": {"x": [1, 2]}, "label": "cat"}\n{"inputs": {"x": [3, 4]}, "label": "dog"}\n'


def of(model, *more):
    return "/".join([f"/api/v1/models/{model.slug}", *more])


def put(api, model, body=ROWS, query="metric=accuracy", **more):
    return api.put(f"{of(model, 'golden-set')}?{query}", body, content_type="application/x-ndjson", **more)


class TestExamples:
    def test_they_are_added_and_listed(self, api):
        version = an_uploaded_version()
        path = of(version.model, "versions", "1", "examples")

        made = api.post(path, {"examples": [EXAMPLE, {**EXAMPLE, "atol": 0.5}]})

        assert made.status_code == 201
        listed = api.get(path).json()["results"]
        assert listed == made.json()
        assert listed[1] == {"position": 2, **EXAMPLE, "atol": 0.5, "rtol": rows.RTOL}

    @pytest.mark.parametrize("body", [{}, {"examples": 5}, {"examples": []}, {"examples": [5]}], ids=str)
    def test_what_are_no_examples_is_422(self, api, body):
        version = an_uploaded_version()

        assert api.post(of(version.model, "versions", "1", "examples"), body).status_code == 422


class TestGoldenSet:
    def test_it_is_put_and_shown(self, api):
        model = a_model()
        assert api.get(of(model, "golden-set")).status_code == 404

        made = put(api, model, query="metric=f1&floor=0.8&margin=0.05&reason=first")

        assert made.status_code == 200
        shown = api.get(of(model, "golden-set"))
        assert shown.json() == made.json()
        assert (shown.json()["rows"], shown.json()["floor"], shown.json()["reason"]) == (2, 0.8, "first")

    def test_only_who_saw_the_present_one_replaces_it(self, api):
        model = a_model()
        first = put(api, model, headers={"If-Match": '""'})

        assert put(api, model, headers={"If-Match": '""'}).status_code == 412
        second = put(api, model, headers={"If-Match": first["ETag"]})
        assert (second.status_code, second.json()["revision"]) == (200, 2)
        assert put(api, model, headers={"If-Match": first["ETag"]}).status_code == 412

    @pytest.mark.parametrize(
        "query", ["", "metric=beauty", "metric=f1&floor=x", "metric=f1&floor=2", "metric=f1&flor=1", "metric=f1&margin=-1"]
    )  # fmt: skip
    def test_what_it_cannot_demand_is_422(self, api, query):
        assert put(api, a_model(), query=query).status_code == 422
        assert not GoldenSet.objects.exists()

    def test_the_bad_line_is_named(self, api):
        answer = put(api, a_model(), ROWS + b"{}")

        assert (answer.status_code, answer.json()["detail"][:6]) == (422, "Line 3")

    def test_the_length_is_asked_first(self, api):
        model = a_model()

        assert put(api, model, CONTENT_LENGTH="").json()["code"] == "length_required"
        assert put(api, model, CONTENT_LENGTH="chunked").json()["code"] == "length_required"
        assert put(api, model, CONTENT_LENGTH=str(rows.MAX_SET_BYTES + 1)).status_code == 413
        assert put(api, model, b"", CONTENT_LENGTH="0").status_code == 422

    def test_more_than_a_set_with_small_pieces(self, api, monkeypatch):
        monkeypatch.setattr(rows, "_PIECE", 7)

        assert put(api, a_model()).json()["rows"] == 2

    def test_it_is_made_for_the_version_that_is_named(self, api):
        model = a_model()
        for letter in "ab":
            a_version(model, preprocessing=letter * 16)

        assert put(api, model).json()["preprocessing"] == "b" * 16
        assert put(api, model, query="metric=accuracy&version=1").json()["preprocessing"] == "a" * 16
        assert put(api, model, query="metric=accuracy&version=7").status_code == 404
        assert GoldenSet.objects.count() == 2


class TestResults:
    def test_they_are_listed_by_version(self, api):
        version = a_version()
        put(api, version.model)
        wrong = [{"row": 2, "expected": "dog", "got": "cat"}]
        a_golden_result(version, GoldenSet.objects.get(), 0.5, wrong)
        path = of(version.model, "golden-results")

        (result,) = api.get(path, {"version": 1}).json()["results"]

        assert (result["version"], result["golden_set"], result["value"]) == (1, 1, 0.5)
        assert result["wrong"] == wrong
        assert api.get(path, {"version": 2}).json()["results"] == []
        assert "text" not in result["wrong"][0]
        assert api.get(path, {"versoin": 2}).status_code == 422


class TestBodies:
    @pytest.mark.parametrize("piece", [1, 2, 3, 100])
    @pytest.mark.parametrize("text", [b"", b"a", b"a\nbc\n\nd", b"a\nbc\n\nd\n"])
    def test_lines_do_not_depend_on_pieces(self, text, piece):
        pieces = [text[start : start + piece] for start in range(0, len(text), piece)]

        assert list(rows.lines_of(pieces)) == text.splitlines()

    def test_a_line_without_end_is_handed_on_before_it_fills_the_memory(self, monkeypatch):
        monkeypatch.setattr(rows, "MAX_LINE_BYTES", 10)
        read = []

        def pieces():
            while True:
                read.append(1)
                yield b"a" * 6

        assert len(next(rows.lines_of(pieces()))) == 12
        assert len(read) == 2

    @pytest.mark.parametrize("error", [None, OSError], ids=["too short", "hung up"])
    def test_a_body_that_ends_early_is_refused(self, error):
        def read(_size):
            if error:
                raise error
            return b""

        with pytest.raises(Exception, match="5 bytes early"):
            list(rows.pieces_of(read, 5))


class TestCommands:
    def test_a_golden_set_for_a_version(self, tmp_path):
        model, path = a_model(), tmp_path / "rows.jsonl"
        for letter in "ab":
            a_version(model, preprocessing=letter * 16)
        path.write_bytes(ROWS)

        call_command("put_golden_set", model.slug, path, metric="accuracy", for_number=1, reason="first")

        assert GoldenSet.objects.get().preprocessing == "a" * 16

    def test_a_golden_set_from_a_file(self, tmp_path, capsys):
        model, path = a_model(), tmp_path / "rows.jsonl"
        path.write_bytes(ROWS)

        call_command("put_golden_set", model.slug, path, metric="accuracy", floor=0.5, reason="first")

        assert "has 2 rows" in capsys.readouterr().out
        assert GoldenSet.objects.get().floor == 0.5

    def test_examples_from_a_file(self, tmp_path, capsys):
        version, path = an_uploaded_version(), tmp_path / "examples.json"
        path.write_text(json.dumps([EXAMPLE]))

        call_command("add_examples", version.model.slug, "1", path)

        assert ": 1." in capsys.readouterr().out
        assert ConformanceExample.objects.get().version == version

    @pytest.mark.parametrize(
        ("text", "said"), [("{", "not valid JSON"), ("{}", "a list"), (None, "cannot be read"), ("[5]", "Example 1")]
    )  # fmt: skip
    def test_what_is_wrong_with_a_file_of_examples_is_said(self, tmp_path, text, said):
        path = tmp_path / "examples.json"
        if text is not None:
            path.write_text(text)

        with pytest.raises(CommandError, match=said):
            call_command("add_examples", an_uploaded_version().model.slug, "1", path)

    def test_a_file_of_rows_that_is_not_there(self, tmp_path):
        with pytest.raises(CommandError, match="cannot be read"):
            call_command("put_golden_set", a_model().slug, tmp_path / "no", metric="f1", reason="x")
