import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.pipelines.errors import BadTaskConfig, InvalidItem, TooManyItems, UnknownUser, UnusableOutput
from inference.pipelines.ids import IdTable
from inference.pipelines.recommendation import Recommendation, best_places
from inference.tensors.errors import InvalidInput
from inference.tensors.prepare import prepare
from inference.tensors.signature import Signature, TensorSpec

USERS = ["ann", "ben", "cleo"]
ITEMS = ["tea", "jam", "egg", "ham", "fig"]
SCORES = np.array([[1, 5, 3, 3, 2], [0, 0, 0, 0, 0], [-5, -4, -3, -2, -1]], np.float32)


def lines(ids):
    return "".join(f"{one}\n" for one in ids).encode()


def signature(user=(None,), scores=(None, 5), kind="INT64"):
    return Signature((TensorSpec("user", kind, user),), (TensorSpec("scores", "FP32", scores),))


def built(config=None, *, users=USERS, items=ITEMS, of=None):
    return Recommendation(
        config or {}, {"users.txt": lines(users), "items.txt": lines(items)}, of or signature()
    )


def run(inputs):
    return {"scores": SCORES[inputs["user"].reshape(-1)]}


def ask(body, pipeline=None):
    return (pipeline or built()).answer(body, run, most_rows=2)


def test_the_best_items_come_first_and_ties_by_id():
    (answer,) = ask({"user": "ann", "top_k": 4})

    assert answer.items == ["jam", "egg", "ham", "fig"]
    assert answer.scores == [5, 3, 3, 2]
    assert not answer.fallback


def test_excluded_items_are_left_out_and_unknown_ones_do_not_matter():
    (answer,) = ask({"user": "ann", "exclude": ["jam", "ham", "unheard of"]})

    assert answer.items == ["egg", "fig", "tea"]


def test_fewer_items_than_wanted_are_no_error():
    assert ask({"user": "ann", "exclude": ITEMS})[0].items == []


def test_several_users_with_one_list_or_one_for_each():
    together = ask({"users": ["cleo", "ann"], "exclude": ["jam"], "top_k": 2})
    apart = ask({"users": ["cleo", "ann"], "exclude": [["fig"], ["egg", "jam"]], "top_k": 2})

    assert [answer.items for answer in together] == [["fig", "ham"], ["egg", "ham"]]
    assert [answer.items for answer in apart] == [["ham", "egg"], ["ham", "fig"]]


def test_ids_that_are_numbers():
    pipeline = built({"item_ids": "numbers"}, users=["7", "8", "9"], items=["30", "4", "1000", "200", "5"])

    (answer,) = ask({"user": 7, "exclude": [5]}, pipeline)
    (as_text,) = ask({"user": "7", "exclude": ["5"]}, pipeline)

    assert answer.items == [4, 200, 1000, 30]  # 200 and 1000 have equal scores
    assert answer == as_text


def test_an_unknown_user_is_an_error_that_names_the_place():
    with pytest.raises(UnknownUser) as alone:
        ask({"user": "eve"})
    with pytest.raises(UnknownUser, match="no user 'eve'") as among:
        ask({"users": ["ann", "eve"]})

    assert (alone.value.field, among.value.place) == ("user", 1)


def test_an_unknown_user_gets_what_the_fallback_user_would_and_is_told():
    pipeline = built({"fallback_user": "cleo", "top_k": 2})

    unknown, known = ask({"users": ["eve", "cleo"]}, pipeline)

    assert (unknown.items, unknown.fallback) == (["fig", "ham"], True)
    assert (known.items, known.fallback) == (["fig", "ham"], False)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_score_that_is_no_number_is_an_error(bad):
    scores = SCORES.copy()
    scores[0, 3] = bad

    with pytest.raises(UnusableOutput):
        built().answer({"user": "ann"}, lambda _: {"scores": scores[:1]})


def test_even_if_its_item_is_excluded():
    scores = SCORES.copy()
    scores[0, 3] = np.nan

    with pytest.raises(UnusableOutput):
        built().answer({"user": "ann", "exclude": ["ham"]}, lambda _: {"scores": scores[:1]})


def test_a_model_excludes_items_with_minus_infinity():
    scores = SCORES.copy()
    scores[0, 1] = -np.inf

    (answer,) = built().answer({"user": "ann"}, lambda _: {"scores": scores[:1]})

    assert answer.items == ["egg", "ham", "fig", "tea"]


def test_brute_force_on_a_thousand_random_sets():
    rng = np.random.default_rng(3)
    for _ in range(1_000):
        count, top_k = int(rng.integers(1, 60)), int(rng.integers(1, 20))
        scores = rng.integers(-4, 4, count).astype(np.float32)  # with many ties
        ids = rng.permutation(count)
        excluded = rng.integers(0, count, int(rng.integers(0, count + 1)))
        plain = sorted(
            (-score, ids[at], at) for at, score in enumerate(scores) if at not in set(excluded.tolist())
        )

        assert best_places(scores, top_k, excluded, ids).tolist() == [at for _, _, at in plain[:top_k]]


def test_scores_are_not_changed():
    scores = SCORES[0].copy()
    best_places(scores, 2, np.array([1]), np.arange(5))

    assert scores.tolist() == SCORES[0].tolist()


def test_as_tensors():
    pipeline = built({"top_k": 2})
    tensors = prepare(pipeline.items, {"user": ["ann", "cleo"], "exclude": [["jam"], "[]"]})

    answers = pipeline.tensors_of(ask(pipeline.body_of(tensors), pipeline))

    assert [orjson.loads(text) for text in answers["items"]] == [["egg", "ham"], ["fig", "ham"]]
    assert [orjson.loads(text) for text in answers["scores"]] == [[3, 3], [-1, -2]]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"user": None}, "user"),
        ({"user": True}, "user"),
        ({"user": ["ann"]}, "user"),
        ({"user": "\ud800"}, "user"),
        ({"users": ["ann", 1.5]}, "users[1]"),
        ({"users": []}, "users"),
        ({}, "user"),
        ({"user": "ann", "exclude": "jam"}, "exclude"),
        ({"user": "ann", "exclude": [["jam"]]}, "exclude"),
        ({"users": ["ann", "ben"], "exclude": [["jam"]]}, "exclude"),
        ({"users": ["ann", "ben"], "exclude": [["jam"], "egg"]}, "exclude[1]"),
        ({"users": ["ann"], "exclude": [[{}]]}, "exclude[0]"),
        ({"user": "ann", "top_k": 0}, "top_k"),
        ({"user": "ann", "top_k": 1_001}, "top_k"),
        ({"user": "ann", "top_k": True}, "top_k"),
    ],
)
def test_what_is_no_request(body, field):
    with pytest.raises(InvalidItem) as refused:
        ask(body)

    assert refused.value.field == field


def test_too_many():
    with pytest.raises(TooManyItems):
        ask({"users": ["ann"] * 257})
    with pytest.raises(TooManyItems):
        ask({"user": "ann", "exclude": ["x"] * 100_001})


def test_many_items_mean_few_users_at_once():
    items = [str(number) for number in range(1_000_000)]
    pipeline = built(items=items, of=signature(scores=(None, 1_000_000)))

    assert (pipeline.most_items, pipeline.output_bytes) == (33, 4_000_000)


@pytest.mark.parametrize("shape", [(None,), (None, 1)])
@pytest.mark.parametrize("kind", ["INT32", "INT64"])
def test_the_number_of_a_user_in_the_shape_of_the_model(shape, kind):
    pipeline = built(of=signature(shape, kind=kind))

    inputs = pipeline.prepare(pipeline.encode({"users": ["cleo", "ann"]}).groups[0].tensors)

    assert inputs["user"].reshape(-1).tolist() == [2, 0]
    assert inputs["user"].dtype == kind.lower() and inputs["user"].ndim == len(shape)


@pytest.mark.parametrize(
    ("made", "field"),
    [
        (lambda: built(of=signature((None, 3))), "inputs"),
        (lambda: built(of=signature(kind="FP32")), "inputs"),
        (lambda: built(of=signature(scores=(None, 4))), "items"),
        (lambda: built(of=signature(scores=(None,))), "output"),
        (lambda: built({"fallback_user": "eve"}), "fallback_user"),
        (lambda: built({"item_ids": "numbers"}), "item_ids"),
        (lambda: built({"item_ids": "numbers"}, items=["1", "2", "3", "4", "05"]), "item_ids"),
        (lambda: built({"top_k": 1_001}), "top_k"),
        (lambda: built({"other": 1}), "other"),
        (lambda: built(items=["a", "b", "a", "c", "d"]), "items.txt"),
        (lambda: built(users=["a", "", "b"]), "users.txt"),
        (lambda: built(users=["a" * 201]), "users.txt"),
        (lambda: built(users=[""]), "users.txt"),
        (lambda: built(users=["a\0"]), "users.txt"),
        (lambda: built(users=["a\tb"]), "users.txt"),
        (lambda: built(users=["a", " b"]), "users.txt"),
        (lambda: Recommendation.check_config({}, ["users.txt"]), "items.txt"),
        (lambda: Recommendation({}, {"users.txt": b"a", "items.txt": b"\xff"}, signature()), "items.txt"),
    ],
)
def test_wrong_configurations_name_the_field(made, field):
    with pytest.raises(BadTaskConfig) as refused:
        made()

    assert refused.value.field == field


def test_the_hash_is_of_all_that_changes_answers():
    digests = {
        built().digest,
        built({"top_k": 3}).digest,
        built({"fallback_user": "ann"}).digest,
        built(users=["ann", "ben", "dan"]).digest,
        built(items=["tea", "jam", "egg", "ham", "nut"]).digest,
        built(items=["1", "2", "3", "4", "5"]).digest,
        built({"item_ids": "numbers"}, items=["1", "2", "3", "4", "5"]).digest,
    }

    assert len(digests) == 7


def test_the_line_that_is_no_number_is_named():
    with pytest.raises(BadTaskConfig, match=r"Line 4 of items\.txt, 'abc'"):
        built({"item_ids": "numbers"}, items=["10", "11", "12", "abc", "13"])


@pytest.mark.parametrize("value", [None, True, {"a": 1}, 1.5, ["ann"]])
def test_what_is_no_id_does_not_become_one(value):
    with pytest.raises(InvalidInput):
        prepare(built({"fallback_user": "ann"}).items, {"user": ["ann", value]})


ids_of_people = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=50).filter(
    lambda text: text == text.strip(" ")
)


@given(st.sets(ids_of_people, min_size=1))
def test_every_id_is_found_and_others_are_not(ids):
    listed = list(ids)
    table = IdTable(lines(listed), "items.txt")

    assert table.find(listed).tolist() == list(range(len(listed)))
    assert [table[place] for place in range(len(table))] == listed
    assert table.find([*(f"{one}\n" for one in listed), ""]).tolist() == [-1] * (len(listed) + 1)
    assert [listed[place] for place in np.argsort(table.order)] == sorted(listed)


def test_ids_that_begin_alike_are_sorted_too():
    ids = [f"{'x' * 40}{number:03}" for number in (7, 3, 5)] + ["a", "x" * 40]
    table = IdTable(lines(ids), "items.txt")

    assert [ids[place] for place in np.argsort(table.order)] == sorted(ids)


def test_millions_of_equal_scores_are_not_sorted(monkeypatch):
    sorted_places = []
    real = np.lexsort
    monkeypatch.setattr(np, "lexsort", lambda keys: (sorted_places.append(len(keys[0])), real(keys))[1])

    places = best_places(np.zeros(100_000, np.float32), 10, np.array([0]), np.arange(100_000)[::-1])

    assert places.tolist() == [99_999 - place for place in range(10)]
    assert sorted_places == [10]


def test_files_of_other_systems():
    table = IdTable(b"\xef\xbb\xbfa\r\nb\r\n", "items.txt")

    assert [table[0], table[1], len(table)] == ["a", "b", 2]
    files = {"users.txt": b"\xef\xbb\xbfann\r\nben\r\n", "items.txt": lines(ITEMS)}
    assert Recommendation({}, files, signature()).example == {"user": "ann"}
