"""Forms in Chromium: the focus, what was typed, past reasons, the searchable Model, the preview of rows, copy buttons."""

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from inference.jobs.models import Job
from registry.catalogue.models import Version
from registry.traffic import services as traffic
from registry.traffic.selectors import open_holds
from tests.support.factories import a_live_model, a_model, an_actor

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
FOCUSED = "document.activeElement.name"


@pytest.fixture(autouse=True)
def own_folder(settings, tmp_path):
    settings.DATA_DIR = tmp_path


@pytest.fixture
def model():
    return a_live_model(100, slug="demand")


def file_of(tmp_path, text, name="rows.csv"):
    file = tmp_path / name
    file.write_text(text)
    return file


class TestVerbsInABrowser:
    def test_the_reason_has_the_focus_and_enter_submits(self, visit, model):
        page = visit(reverse("admin:registry_model_freeze", args=[model.pk]))

        page.keyboard.type("audit week")
        with page.expect_navigation():
            page.keyboard.press("Enter")

        assert open_holds(model) == {"frozen": "audit week"}

    def test_what_was_wrong_has_the_focus_and_what_was_typed_is_kept(self, visit, model):
        page = visit(reverse("admin:registry_model_split", args=[model.pk]))
        page.fill("[name=reason]", "half of it")
        page.evaluate("document.querySelector('[name=version_1]').value = 500")

        with page.expect_navigation():
            page.locator("form[data-focus]").evaluate(
                "form => { form.noValidate = true; form.requestSubmit(); }"
            )
        page.wait_for_function(f"{FOCUSED} === 'version_1'")

        wrong = page.locator("[name=version_1]")
        assert wrong.get_attribute("aria-invalid") == "true"
        described = wrong.get_attribute("aria-describedby").split()[-1]
        assert "100" in page.inner_text(f"#{described}")
        assert page.input_value("[name=reason]") == "half of it"

    def test_reasons_given_before_are_offered(self, visit, model):
        page = visit(reverse("admin:registry_model_freeze", args=[model.pk]))
        marta = an_actor(user=User.objects.get(username="marta"))
        traffic.freeze_model(model=model, reason="audit week", by=marta)
        traffic.unfreeze_model(model=model, reason="audit is over", by=marta)

        page.reload()

        listed = page.locator("[name=reason]").get_attribute("list")
        assert page.evaluate(
            "id => [...document.getElementById(id).options].map((one) => one.value)", listed
        ) == ["audit week"]


class TestModelSelect:
    def test_a_typo_is_told_and_corrected_by_keyboard_before_a_file_is_sent(self, visit, model):
        page = visit(reverse("admin:registry_upload_add"))
        page.wait_for_function("document.activeElement.id === 'rh-slug'")

        page.keyboard.type("demnd")
        page.locator("[role=option]").first.wait_for()
        assert "There is no Model “demnd”" in page.inner_text(".rh-options-said")
        page.keyboard.press("ArrowDown")
        assert page.locator("[role=option][aria-selected=true]").inner_text().startswith("demand")
        page.keyboard.press("Enter")

        assert page.input_value("#rh-slug") == "demand"
        assert page.locator(".rh-options").is_hidden()

    def test_a_new_model_is_made_only_if_that_is_chosen(self, visit, model):
        page = visit(reverse("admin:registry_upload_add"))
        page.wait_for_function("document.activeElement.id === 'rh-slug'")
        page.keyboard.type("demnd")
        page.get_by_role("option", name="Create Model “demnd”").click()

        assert page.get_by_role("radio", name="the first version of a new Model").is_checked()
        page.wait_for_function(
            "document.querySelector('.rh-options-said').textContent.includes('similar name: demand')"
        )
        page.get_by_role("button", name="demand", exact=True).click()
        assert page.get_by_role("radio", name="the next version of an existing Model").is_checked()

    def test_escape_closes_the_list_and_keeps_the_text(self, visit, model):
        page = visit(reverse("admin:inference_job_add"))
        page.fill("[name=model]", "dem")
        page.locator("[role=option]").first.wait_for()

        page.keyboard.press("Escape")

        assert page.locator(".rh-options").is_hidden()
        assert page.input_value("[name=model]") == "dem"

    def test_sending_the_form_closes_the_list(self, visit, model):
        page = visit(reverse("admin:registry_upload_add"), expected=["status of 404"])
        page.fill("[name=model]", "deman")
        page.wait_for_selector("[role=option]:visible")

        page.press("[name=model]", "Enter")
        page.wait_for_selector("[role=option]", state="hidden")
        page.fill("[name=model]", "dema")
        page.press("[name=model]", "Enter")  # before the search is answered
        page.wait_for_timeout(600)

        assert page.locator("[role=option]:visible").count() == 0

    def test_the_list_stays_closed_after_a_choice(self, visit, model):
        a_model("demand-2")
        page = visit(reverse("admin:inference_job_add"))
        page.fill("[name=model]", "dem")
        page.locator("[role=option]").first.wait_for()

        for key in ("a", "ArrowDown", "Enter"):  # before the list follows what was typed
            page.keyboard.press(key)
        page.wait_for_timeout(600)

        assert page.input_value("[name=model]") == "demand"
        assert page.locator(".rh-options").is_hidden()

    def test_what_is_clicked_is_chosen_whatever_was_typed_since(self, visit, model):
        page = visit(reverse("admin:registry_upload_add"))
        page.fill("#rh-slug", "dem")
        page.get_by_role("option", name="Create Model “dem”").wait_for()

        page.evaluate(
            "document.getElementById('rh-slug').value = 'demand';"
            " document.querySelector('#rh-slug-models li:last-child').click()"
        )

        assert page.input_value("#rh-slug") == "dem"
        assert page.get_by_role("radio", name="the first version of a new Model").is_checked()

    def test_without_its_script_the_field_is_a_text_field_with_names(self, visit, model):
        page = visit(reverse("admin:inference_job_add"), without="**/model_select.js")

        page.fill("[name=model]", "demand")

        listed = page.locator("[name=model]").get_attribute("list")
        assert page.locator(f"#{listed} option").evaluate_all("all => all.map((one) => one.value)") == [
            "demand"
        ]


class TestPreviewInABrowser:
    ROWS = "fruit,a,b,c,d\nkiwi,1,2,3,4\nplum,1,soft,3,4\n"

    def test_the_rows_of_a_chosen_file_are_shown_before_the_job_starts(self, visit, model, tmp_path):
        page = visit(f"{reverse('admin:inference_job_add')}?model=demand")
        shown = page.locator("#rh-job-preview")

        page.set_input_files("[name=file]", file_of(tmp_path, self.ROWS))
        shown.get_by_text("does not fit").wait_for()
        page.fill("[name=columns]", '{"x": ["a", "b", "c", "d"]}')
        shown.get_by_text("1 of the first 2 rows cannot be used").wait_for()

        assert "Column b is 'soft'" in shown.inner_text()
        assert "a, b, c, d" in shown.inner_text()
        assert not Job.objects.exists()
        assert not [path for path in (tmp_path / "jobs").rglob("*") if path.is_file()]

    def test_only_the_first_bytes_are_sent(self, visit, model, tmp_path):
        page = visit(f"{reverse('admin:inference_job_add')}?model=demand")
        long = file_of(tmp_path, "a,b,c,d\n" + "1,2,3,4\n" * 200_000)

        with page.expect_request("**/job/preview/") as sent:
            page.set_input_files("[name=file]", long)

        page.locator("#rh-job-preview").get_by_text("does not fit").wait_for()
        assert int(sent.value.header_value("content-length")) < 256 << 10

    def test_a_refused_form_keeps_its_file(self, visit, model, tmp_path):
        page = visit(reverse("admin:inference_job_add"))
        page.fill("[name=model]", "nobody")
        page.fill("[name=id_column]", "fruit")
        page.set_input_files("[name=file]", file_of(tmp_path, self.ROWS))

        page.get_by_role("button", name="Start job").click()
        page.locator("#id_model_error").wait_for()

        assert page.evaluate("document.querySelector('[name=file]').files[0].name") == "rows.csv"
        assert page.input_value("[name=id_column]") == "fruit"
        assert page.evaluate(FOCUSED) == "model"
        page.fill("[name=model]", "demand")
        page.keyboard.press("Escape")
        page.fill("[name=columns]", '{"x": ["a", "b", "c", "d"]}')
        page.get_by_role("button", name="Start job").click()
        page.wait_for_selector("#rh-job")
        assert Job.objects.get().input_bytes == len(self.ROWS)


def test_a_copy_button_copies_and_says_so(visit, model):
    version = Version.objects.select_related("artifact").get()
    page = visit(reverse("admin:registry_version_change", args=[version.pk]) + "?tab=file")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])

    page.get_by_role("button", name="Copy the SHA-256").press("Enter")
    page.locator("body > [role=status]", has_text="Copied").wait_for(state="attached")

    assert page.evaluate("navigator.clipboard.readText()") == version.artifact.sha256


def test_without_a_clipboard_the_text_is_copied_the_old_way(visit, model):
    version = Version.objects.select_related("artifact").get()
    page = visit(reverse("admin:registry_version_change", args=[version.pk]) + "?tab=file")
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")

    page.get_by_role("button", name="Copy the SHA-256").click()

    page.locator("body > [role=status]", has_text="Copied").wait_for(state="attached")


def test_a_model_that_is_already_named_in_the_address_needs_no_search(visit):
    a_model("fruit")
    page = visit(f"{reverse('admin:registry_upload_add')}?model=fruit")

    page.wait_for_function("document.activeElement.id === 'rh-file'")
    assert page.inner_text(".rh-options-said") == ""
