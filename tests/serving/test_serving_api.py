"""The server beside its API: real clients, each field, each error."""

import asyncio
import json
import socket

import httpx
import openai
import pytest
from serving_fixtures import (
    GREEDY,
    body,
    engine_of,
    is_idle,
    make_server,
    model_and_tokenizer,
    naive,
    openai_client,
    post,
)

from course_lib.engine import EngineConfig
from course_lib.workload.bench.server_target import run


@pytest.fixture(scope="module")
def server():
    with make_server(most_bytes=100_000) as running:
        yield running
        assert is_idle(running)


@pytest.fixture(scope="module")
def client(server):
    with openai_client(server) as made:
        yield made


def test_openai_s_client_gets_the_text_of_naive_decoding(client):
    answer = client.completions.create(prompt="Once upon a time", max_tokens=12, **GREEDY)
    assert answer.choices[0].text == naive("Once upon a time", 12)[1] and answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 12 and answer.usage.total_tokens == 12 + answer.usage.prompt_tokens


def test_a_stream_is_the_same_text_in_pieces(client):
    pieces = list(client.completions.create(prompt="Once upon a time", max_tokens=12, stream=True,
                                            stream_options={"include_usage": True}, **GREEDY))  # fmt: skip
    assert "".join(piece.choices[0].text for piece in pieces[:-1]) == naive("Once upon a time", 12)[1]
    assert [piece.choices[0].finish_reason for piece in pieces[:-1]][-1] == "length"
    assert pieces[-1].choices == [] and pieces[-1].usage.completion_tokens == 12


def test_a_chat_goes_through_the_template(client):
    messages = [{"role": "user", "content": "A story, please."}]
    whole = client.chat.completions.create(messages=messages, max_completion_tokens=9, **GREEDY)
    ids = model_and_tokenizer()[1].apply_chat_template(messages, add_generation_prompt=True)
    assert whole.choices[0].message.content == naive(tuple(ids), 9)[1] and whole.choices[0].message.role == "assistant"
    pieces = list(client.chat.completions.create(messages=messages, max_completion_tokens=9, stream=True, **GREEDY))
    assert pieces[0].choices[0].delta.role == "assistant" and pieces[-1].choices[0].finish_reason == "length"
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == whole.choices[0].message.content


def test_a_chat_takes_text_in_parts_and_nothing_else_and_no_template_of_a_client(server):
    def ask(content, **more):
        data = body() | {"messages": [{"role": "user", "content": content}]} | more
        del data["prompt"]
        return post(server, data, "/v1/chat/completions")

    parts = [{"type": "text", "text": "A story,"}, {"type": "text", "text": "please."}]
    whole, in_parts = (ask(content).json()["choices"] for content in ("A story,\nplease.", parts))
    assert in_parts == whole
    for content in ([{"type": "image_url", "image_url": {"url": "x"}}], [{"type": "text"}], 5):
        assert ask(content).json()["error"]["param"] == "messages"
    for name in ("chat_template", "tokenize", "self"):
        assert ask("A", chat_template_kwargs={name: "x"}).json()["error"]["param"] == "chat_template_kwargs"


def test_usage_is_in_each_chunk_where_it_is_wanted(client):
    wanted = {"include_usage": True, "continuous_usage_stats": True}
    pieces = list(client.completions.create(prompt="Once", max_tokens=5, stream=True, stream_options=wanted, **GREEDY))
    found = [piece.usage.completion_tokens for piece in pieces]
    assert found == sorted(found) and 1 <= found[0] <= found[-1] == 5  # a slow client gets several tokens at once


def test_many_streams_at_once_are_not_mixed_up(server):
    prompts = [f"Once there was a {name} number {k}" for k in range(8) for name in ("cat", "fox", "hare", "owl")]

    async def ask():
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client:

            async def one(prompt):
                stream = await client.completions.create(prompt=prompt, max_tokens=10, stream=True, **GREEDY)
                return "".join([piece.choices[0].text async for piece in stream])

            return await asyncio.gather(*map(one, prompts))

    assert run(ask()) == [naive(prompt, 10)[1] for prompt in prompts]


def test_n_and_several_prompts_are_choices_in_order(server):
    prompts = ["Once upon a time", [5, 6, 7], "In a town"]
    with_list = post(server, body(prompts, n=2, return_token_ids=True)).json()
    expected = [naive(prompt if isinstance(prompt, str) else tuple(prompt), 8) for prompt in prompts for _ in range(2)]
    assert [(choice["token_ids"], choice["text"]) for choice in with_list["choices"]] == expected
    assert [choice["index"] for choice in with_list["choices"]] == [*range(6)]
    assert with_list["usage"]["completion_tokens"] == 6 * 8
    events = [json.loads(line[6:]) for line in post(server, body(prompts, n=2, stream=True)).text.splitlines()
              if line.startswith("data: {")]  # fmt: skip
    texts = [""] * 6
    for choice in (one["choices"][0] for one in events):
        texts[choice["index"]] += choice["text"]
    assert texts == [text for _, text in expected]


def test_the_same_seed_draws_the_same_and_top_k_of_one_is_greedy(server):
    ask = body(temperature=0.9, seed=11, max_tokens=20)
    first, again, other = (post(server, one).json()["choices"][0]["text"] for one in (ask, ask, ask | {"seed": 12}))
    assert first == again != other
    most, least = (post(server, body(temperature=0.9, n=2, seed=seed)).json()["choices"] for seed in (2**63 - 1, 0))
    assert most[1]["text"] == least[0]["text"] != most[0]["text"]  # after the largest seed comes 0
    assert post(server, body(temperature=0.9, top_k=1)).json()["choices"][0]["text"] == naive("Once upon a time", 8)[1]


def test_a_stop_string_ends_the_text_before_it(server):
    text = naive("Once upon a time", 30)[1]
    stop = text[10:13]
    found = post(server, body(max_tokens=30, stop=[stop, "never"], stream=True)).text
    events = [json.loads(line[6:]) for line in found.splitlines() if line.startswith("data: {")]
    assert "".join(one["choices"][0]["text"] for one in events) == text[: text.index(stop)]
    assert events[-1]["choices"][0]["finish_reason"] == "stop" and found.endswith("data: [DONE]\n\n")


WRONG = {
    "model": (body() | {"model": 3}, 400), "model unknown": (body() | {"model": "large"}, 404),
    "prompt": (body([]), 400), "prompt none": (body(None), 400), "prompt mixed": (body([1, "a"]), 400),
    "prompt ids": (body([10**9]), 400), "prompt long": (body([5] * 5000), 400),
    "max_tokens": (body(max_tokens=0), 400), "max_tokens many": (body(max_tokens=10**6), 400),
    "temperature": (body(temperature=-1), 400), "top_p": (body(top_p=0), 400), "top_k": (body(top_k=-5), 400),
    "n": (body(n=0), 400), "n many": (body(n=999), 400), "stop": (body(stop=["a"] * 5), 400),
    "stop empty": (body(stop=""), 400), "stop long": (body(stop=["a" * 1001]), 400),
    "stream": (body(stream="yes"), 400), "seed": (body(seed="x"), 400),
    "stream_options": (body(stream_options={"include_usage": True}), 400), "logprobs": (body(logprobs=6), 400),
    "logprobs true": (body(logprobs=True), 400), "top_logprobs": (body(top_logprobs=1), 400),
    "presence_penalty": (body(presence_penalty=2.5), 400), "frequency_penalty": (body(frequency_penalty="a"), 400),
    "repetition_penalty": (body(repetition_penalty=0), 400), "logit_bias": (body(logit_bias={"3": 101}), 400),
    "logit_bias of text": (body(logit_bias={"a": 1}), 400), "logit_bias list": (body(logit_bias=[1]), 400),
    "logit_bias unknown": (body(logit_bias={"99999": 1}), 400), "prompt_logprobs": (body(prompt_logprobs=1), 400),
    "echo": (body(echo=True), 400), "tools": (body(tools=[{"type": "function"}]), 400),
    "nonsense": (body(nonsense=1), 400),
    "priority": (body(priority="high"), 400), "priority list": (body(priority=[]), 400),
    "top_k huge": (body(top_k=10**19), 400), "temperature huge": (body(temperature=10**400), 400),
    "n huge": (body(n=10**19), 400), "prompt many": (body(["a"] * 1025), 400), "stream 1.0": (body(stream=1.0), 400),
    "stream_options usage": (body(stream=True, stream_options={"continuous_usage_stats": 1}), 400),
    "user": (body(user=5), 400), "metadata": (body(metadata="a"), 400),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_field_is_an_error_of_the_api_that_names_it(server, what):
    data, status = WRONG[what]
    answer = post(server, data)
    error = answer.json()["error"]
    assert answer.status_code == status and error["type"] in ("invalid_request_error", "not_found_error")
    assert error["param"] == what.split()[0]


def test_fields_that_ask_for_nothing_are_taken(server):
    nothing = dict(presence_penalty=0, frequency_penalty=0.0, logprobs=None, echo=False, best_of=1, user="me", top_k=-1,
                   repetition_penalty=1.0, stream_options=None, logit_bias=None, metadata={"a": "b"}, tools=None,
                   response_format={"type": "text"}, seed=None, stop=None, suffix="")  # fmt: skip
    assert post(server, body(**nothing)).json()["choices"][0]["text"] == naive("Once upon a time", 8)[1]


@pytest.mark.parametrize("sent", [b"", b"{", b"[1]", b'{"a": NaN}', b"[" * 5000, b"\xff\xfe", b'{"\\ud800": 1}'])
def test_what_is_no_json_object_is_400(server, sent):
    answer = post(server, content=sent)
    assert answer.status_code == 400 and answer.json()["error"]["type"] == "invalid_request_error"


def test_a_long_body_is_413_whether_its_length_is_announced_or_not(server):
    for content in (b" " * 100_001, iter([b" " * 60_000] * 3)):
        assert post(server, content=content).status_code == 413
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:  # before any of the body has come
        client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_other_routes(server):
    assert httpx.get(f"{server.url}/health").status_code == 200
    [model] = httpx.get(f"{server.url}/v1/models").json()["data"]
    assert model["id"] == "small" and model["max_model_len"] > 100
    for path, status in (("/v1/nothing", 404), ("/v1/completions", 405)):
        answer = httpx.get(server.url + path)
        assert answer.status_code == status and answer.json()["error"]["message"]


def metric(server, name):
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(f"vllm:{name}"))


@pytest.mark.parametrize("caching, looked_for", [(True, 21), (False, 0)])
def test_tokens_are_looked_for_in_the_prefix_cache_only_where_there_is_one(caching, looked_for):
    with make_server(EngineConfig(num_blocks=64, prefix_caching=caching)) as server:
        post(server, body([5] * 21))
        assert metric(server, "prefix_cache_queries_total") == looked_for


def test_metrics_have_vllm_s_names_and_count(server):
    names = ("generation_tokens_total", "request_success_total", "time_to_first_token_seconds_count",
             "inter_token_latency_seconds_count", "prompt_tokens_total")  # fmt: skip
    before = [metric(server, name) for name in names]
    post(server, body([5] * 21))
    assert [metric(server, name) - was for name, was in zip(names, before)] == [8, 1, 1, 7, 21]
    assert metric(server, "num_requests_running") == metric(server, "kv_cache_usage_perc") == 0


def test_a_key_is_asked_for_where_one_is_set():
    with make_server(api_key="a-key") as server:
        for given, status in (({}, 401), ({"Authorization": "Bearer other"}, 401), ({"Authorization": "a-key"}, 401),
                              ({"Authorization": "Bearer a-key"}, 200)):  # fmt: skip
            assert post(server, body(), headers=given).status_code == status
        assert httpx.get(f"{server.url}/v1/models").status_code == 401
        assert httpx.get(f"{server.url}/health").status_code == 200
        assert engine_of(server).metrics.num_requests == 1
