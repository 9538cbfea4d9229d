"""The stock `openai` client against a running product."""

import asyncio
from base64 import b64encode
from io import BytesIO

import openai
import pytest
from PIL import Image, ImageDraw

RUDE, KIND = "Terrible service, I want my money back.", "The food was wonderful."


@pytest.fixture
def client(foreign):
    with openai.OpenAI(base_url=f"{foreign.url}/v1", api_key=foreign.key, max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def circle():
    image = Image.new("RGB", (301, 203), (235, 235, 235))
    ImageDraw.Draw(image).ellipse((80, 31, 221, 172), fill=(40, 70, 160))
    image.save(file := BytesIO(), "PNG")
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"


def test_a_text(client):
    answer = client.moderations.create(input=RUDE)

    (result,) = answer.results
    assert answer.id.startswith("modr-") and answer._request_id == answer.id.removeprefix("modr-")
    assert result.flagged is True
    assert result.categories.harassment is True and result.categories.sexual_minors is False
    assert result.category_scores.harassment > 0.5 > result.category_scores.self_harm_intent
    assert result.category_applied_input_types.harassment == ["text"]
    assert result.category_applied_input_types.illicit_violent == []
    assert result.roundhouse["decision"] == "block"
    assert result.roundhouse["violations"] == ["rude"]


def test_a_list_of_texts(client):
    answer = client.moderations.create(input=[KIND, RUDE, KIND], model="omni-moderation-latest")

    assert [one.flagged for one in answer.results] == [False, True, False]


def test_a_text_with_a_picture(client, circle):
    answer = client.moderations.create(
        model="omni-moderation-latest",
        input=[
            {"type": "text", "text": KIND},
            {"type": "image_url", "image_url": {"url": circle}},
        ],
    )

    (result,) = answer.results
    assert result.flagged is True and result.roundhouse["decision"] == "review"
    assert result.categories.violence_graphic is True and result.categories.harassment is False
    assert result.category_applied_input_types.violence_graphic == ["image"]


def test_a_policy_as_the_model_and_our_own_fields(client):
    answer = client.moderations.create(
        input=RUDE,
        model="foreign-clients",
        extra_body={"roundhouse": {"content_id": "c-7", "do_not_store": True}},
    )

    assert answer.model == "foreign-clients"
    assert answer.results[0].flagged is True


def test_errors_are_the_clients_own(client, foreign):
    with pytest.raises(openai.NotFoundError) as missing:
        client.moderations.create(input=KIND, model="no-such-policy")
    assert missing.value.code == "unknown_policy"
    with pytest.raises(openai.BadRequestError) as wrong:
        client.moderations.create(input=[KIND, ""])
    assert (wrong.value.param, wrong.value.type) == ("input[1]", "invalid_request_error")
    with pytest.raises(openai.NotFoundError, match="nothing at this address"):
        client.models.list()
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hello"}])
    with (
        openai.OpenAI(base_url=f"{foreign.url}/v1", api_key="wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError) as refused,
    ):
        stranger.moderations.create(input=KIND)
    assert refused.value.code == "not_authenticated"


def test_a_deadline(client):
    assert (
        client.moderations.create(input=KIND, extra_headers={"X-Deadline-Ms": "9000"}).results[0].flagged
        is False
    )
    with pytest.raises(openai.BadRequestError) as wrong:
        client.moderations.create(input=KIND, extra_headers={"X-Deadline-Ms": "soon"})
    assert wrong.value.code == "bad_deadline"


def test_the_asynchronous_client_with_many_requests_at_once(foreign):
    async def ask():
        async with openai.AsyncOpenAI(
            base_url=f"{foreign.url}/v1", api_key=foreign.key, max_retries=0
        ) as client:
            asked = [client.moderations.create(input=text) for text in (RUDE, KIND) * 10]
            return await asyncio.gather(*asked)

    answers = asyncio.run(ask())

    assert [one.results[0].flagged for one in answers] == [True, False] * 10
    assert len({one.id for one in answers}) == 20
