"""Log probabilities and penalties over the API, and what else the openai package calls."""

import asyncio
import json
import math
import subprocess
from functools import cache

import openai
import pytest
import torch
from serving_fixtures import GREEDY, body, is_idle, make_server, model_and_tokenizer, naive, openai_client, post

from course_lib import SamplingParams
from course_lib.decoding import generate_naive
from course_lib.kvcache import Recompute
from course_lib.workload.bench.server_target import run

PROMPT = "Once upon a time"
MESSAGES = [{"role": "user", "content": "A story, please."}]


@pytest.fixture(scope="module")
def server():
    with make_server() as running:
        yield running
        assert is_idle(running)


@pytest.fixture(scope="module")
def client(server):
    with openai_client(server) as made:
        yield made


@cache
def raw_logprobs(ids, num_output):
    """Of the last `num_output` tokens: (token id, log probabilities of all tokens) of each."""
    model, _ = model_and_tokenizer()
    with torch.inference_mode():
        logits = model(torch.tensor(ids), torch.arange(len(ids)), Recompute())
    return list(zip(ids[-num_output:], logits[-num_output - 1 : -1].log_softmax(-1)))


def close(found, right):
    return math.isclose(found, float(right), rel_tol=1e-4, abs_tol=1e-4)


def test_logprobs_of_a_completion_are_those_of_the_model_whole_and_streamed(client):
    tokenizer = model_and_tokenizer()[1]
    ids, _ = naive(PROMPT, 12)
    right = raw_logprobs((*tokenizer.encode(PROMPT), *ids), 12)
    whole = client.completions.create(prompt=PROMPT, max_tokens=12, logprobs=2, **GREEDY).choices[0]
    found = whole.logprobs
    assert "".join(found.tokens) == whole.text and found.text_offset[3] == len("".join(found.tokens[:3]))
    assert all(close(one, row[i]) for one, (i, row) in zip(found.token_logprobs, right, strict=True))
    for top, (_, row) in zip(found.top_logprobs, right):
        likeliest = row.topk(2)
        names = [tokenizer.token_text(int(i)) for i in likeliest.indices]
        assert list(top) == names and all(close(top[name], x) for name, x in zip(names, likeliest.values))
    pieces = client.completions.create(prompt=PROMPT, max_tokens=12, logprobs=2, stream=True, **GREEDY)
    parts = [piece.choices[0].logprobs for piece in pieces]
    for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
        assert sum((getattr(part, name) for part in parts), []) == getattr(found, name)


def test_logprobs_of_a_chat_have_bytes_and_the_likeliest(client):
    how = dict(messages=MESSAGES, max_tokens=6, logprobs=True, n=2)
    whole = client.chat.completions.create(**how, top_logprobs=3, **GREEDY)
    for choice in whole.choices:
        content = choice.logprobs.content
        assert bytes(sum((one.bytes for one in content), [])).decode() == choice.message.content
        assert all(one.top_logprobs[0].token == one.token and len(one.top_logprobs) == 3 for one in content)
    alone = client.chat.completions.create(**how, **GREEDY)
    assert [one.top_logprobs for one in alone.choices[0].logprobs.content] == [[]] * 6
    pieces = client.chat.completions.create(**how, top_logprobs=3, stream=True, **GREEDY)
    streamed = [one for piece in pieces for choice in piece.choices if choice.logprobs and not choice.index
                for one in choice.logprobs.content]  # fmt: skip
    assert streamed == whole.choices[0].logprobs.content


def test_a_part_of_a_character_is_told_by_its_bytes(server):
    tokenizer = model_and_tokenizer()[1]
    part = next(i for i in range(tokenizer.vocab_size) if tokenizer.token_text(i) == "<0xE2>")
    how = dict(max_tokens=1, logprobs=0, logit_bias={str(part): 100})
    assert post(server, body(**how)).json()["choices"][0]["logprobs"]["tokens"] == ["bytes:\\xe2"]


@pytest.mark.parametrize(
    "name, value",
    [("presence_penalty", 1.5), ("frequency_penalty", 1), ("logit_bias", {"17": -100}), ("repetition_penalty", 1.4)],
)
def test_penalties_are_those_of_naive_decoding(server, name, value):
    model, tokenizer = model_and_tokenizer()
    its = {17: -100} if name == "logit_bias" else value
    params = SamplingParams(max_tokens=24, ignore_eos=True, **{name: its})
    expected = tokenizer.decode(generate_naive(model, tokenizer.encode(PROMPT), params))
    assert post(server, body(max_tokens=24, **{name: value})).json()["choices"][0]["text"] == expected


def test_models_can_be_listed_and_one_be_asked_for(client):
    [model] = client.models.list()
    assert client.models.retrieve("small") == model and model.created > 1e9
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.models.retrieve("owner/other")


def test_errors_are_the_exceptions_of_the_openai_package(client):
    for error, how in ((openai.BadRequestError, {"max_tokens": 0}), (openai.NotFoundError, {"model": "other"}),
                       (openai.BadRequestError, {"extra_body": {"nonsense": 1}})):  # fmt: skip
        with pytest.raises(error) as caught:
            client.completions.create(**{"prompt": PROMPT, "model": "small"} | how)
        assert caught.value.body["message"] and caught.value.body["param"] in ("max_tokens", "model", "nonsense")
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.2).completions.create(prompt=PROMPT, max_tokens=1500, **GREEDY)


def test_a_raw_response_has_headers_and_parses(client):
    raw = client.completions.with_raw_response.create(prompt=PROMPT, max_tokens=3, **GREEDY)
    assert raw.headers["content-type"] == "application/json" and raw.parse().choices[0].text == naive(PROMPT, 3)[1]
    with client.completions.with_streaming_response.create(prompt=PROMPT, max_tokens=3, stream=True, **GREEDY) as raw:
        assert raw.headers["content-type"].startswith("text/event-stream") and "[DONE]" in raw.read().decode()


def test_openai_s_client_comes_again_after_429():
    with make_server(most_requests=1) as server:

        async def ask():
            async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=20) as client:
                one = lambda: client.completions.create(prompt=PROMPT, max_tokens=40, **GREEDY)  # noqa: E731
                return await asyncio.gather(*(one() for _ in range(3)))

        assert {answer.choices[0].text for answer in run(ask())} == {naive(PROMPT, 40)[1]}


def test_curl_streams_a_completion(server):
    words = ["curl", "-sN", f"{server.url}/v1/completions", "-H", "Content-Type: application/json", "-d"]
    out = subprocess.run([*words, json.dumps(body(stream=True))], capture_output=True, text=True, timeout=60).stdout
    events = [json.loads(line[6:]) for line in out.splitlines() if line.startswith("data: {")]
    assert "".join(one["choices"][0]["text"] for one in events) == naive(PROMPT, 8)[1] and out.endswith("[DONE]\n\n")
