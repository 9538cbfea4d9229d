import pytest

from roundhouse.data_folder import read_or_create_secret
from roundhouse.env import BadEnvironment, read_environment
from roundhouse.management.commands.write_docs import PAGES
from tests.support.processes import ROOT


def test_defaults_are_complete():
    env = read_environment({})

    assert (env.bind, env.port, env.profile) == ("127.0.0.1", 8000, "embedded")
    assert env.data == ROOT / "var"


def test_empty_value_means_unset():
    assert read_environment({"ROUNDHOUSE_PORT": ""}).port == 8000


def test_database_address_is_parsed():
    found = read_environment({"ROUNDHOUSE_DATABASE_URL": "postgresql://me:p%40ss@db:6000/house"}).database_url

    assert (found["ENGINE"], found["PASSWORD"]) == ("django.db.backends.postgresql", "p@ss")
    assert (found["HOST"], found["PORT"], found["NAME"]) == ("db", "6000", "house")


def test_default_models_by_address():
    given = read_environment(
        {"ROUNDHOUSE_DEFAULT_MODELS": "predict=scores,classify=tone, entities=names@champion"}
    )

    assert given.default_models == {"predict": "scores", "classify": "tone", "entities": "names@champion"}
    assert read_environment({}).default_models == {}


@pytest.mark.parametrize("raw", ["tone", "classify=", "tone=predict", "classify=a,classify=b"])
def test_default_models_that_cannot_be_meant_are_refused(raw):
    with pytest.raises(BadEnvironment, match=r"ROUNDHOUSE_DEFAULT_MODELS is .*: use classify=MODEL"):
        read_environment({"ROUNDHOUSE_DEFAULT_MODELS": raw})


def test_bundle_keys_by_name():
    one, other = "a=/+" * 10, "b" * 32
    given = read_environment({"ROUNDHOUSE_TRUSTED_BUNDLE_KEYS": f"staging={one}, lab={other}"})

    assert given.trusted_bundle_keys == {"staging": one, "lab": other}
    assert read_environment({}).trusted_bundle_keys == {}


@pytest.mark.parametrize(
    "raw",
    ["s" * 40, "staging=short", f"Staging={'s' * 40}", f"={'s' * 40}", f"a={'s' * 40},a={'t' * 40}"],
)
def test_bundle_keys_that_cannot_be_meant_are_refused_and_not_repeated(raw):
    with pytest.raises(BadEnvironment, match="ROUNDHOUSE_TRUSTED_BUNDLE_KEYS: use NAME=SECRET") as refused:
        read_environment({"ROUNDHOUSE_TRUSTED_BUNDLE_KEYS": raw})

    assert "s" * 32 not in str(refused.value)


def test_secret_from_file(tmp_path):
    (tmp_path / "key").write_text("k" * 40 + "\n")

    assert read_environment({"ROUNDHOUSE_SECRET_KEY_FILE": str(tmp_path / "key")}).secret_key == "k" * 40


def test_secret_given_twice_is_refused():
    with pytest.raises(BadEnvironment, match="not both"):
        read_environment({"ROUNDHOUSE_SECRET_KEY": "k" * 40, "ROUNDHOUSE_SECRET_KEY_FILE": "key"})


@pytest.mark.parametrize("name", ["ROUNDHOUSE_FRONT_DOOR", "ROUNDHOUSE_WEB_PINNED"])
def test_removed_setting_is_refused_without_a_guess(name):
    with pytest.raises(BadEnvironment, match=f"{name}: this setting no longer exists; remove it"):
        read_environment({name: "true"})


def test_removed_setting_says_what_has_taken_its_place():
    with pytest.raises(
        BadEnvironment,
        match=r"_DEFAULT_MODEL: this .* no longer exists; set ROUNDHOUSE_DEFAULT_MODELS=predict=scores instead\.",
    ):
        read_environment({"ROUNDHOUSE_DEFAULT_MODEL": "scores"})

    assert read_environment({"ROUNDHOUSE_DEFAULT_MODELS": "predict=scores"}).default_models == {
        "predict": "scores"
    }


def test_misspelt_setting_is_refused_with_a_guess():
    with pytest.raises(
        BadEnvironment, match="ROUNDHOUSE_WEB_THREDS: no such setting; did you mean ROUNDHOUSE_WEB_THREADS"
    ):
        read_environment({"ROUNDHOUSE_WEB_THREDS": "8"})


def test_generated_secret_is_stored_and_private(tmp_path):
    path = tmp_path / "secret-key"

    first, second = read_or_create_secret(path), read_or_create_secret(path)

    assert first == second
    assert len(first) >= 48
    assert path.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("page", PAGES)
def test_generated_page_is_current(page):
    assert (ROOT / "docs" / page).read_text() == PAGES[page](), "run `make docs`"
