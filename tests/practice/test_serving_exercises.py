"""Lesson 16: the real server on the parts of its exercises."""

import json
import time

import httpx
import pytest
from written_serving import RIGHT

from course_lib import Engine, EngineConfig, SamplingParams, load_model
from course_lib.decoding import generate_naive
from course_lib.practice.play import own_server


def body(**more):
    return {
        "model": "small",
        "prompt": "Once upon a time",
        "max_tokens": 20,
        "temperature": 0,
        "ignore_eos": True,
    } | more


@pytest.fixture(scope="module")
def small():
    return load_model("tale-draft")


@pytest.fixture
def serving(small):
    """(client, its RequestLog, the engine): a server on one way to write each part."""
    model, tokenizer = small
    engine = Engine(model, EngineConfig(num_blocks=64, block_size=16), tokenizer=tokenizer, trace=False)
    parts = {key: answers[0] for key, answers in RIGHT.items()}
    server, log = own_server(engine, "small", parts, most_waiting=1, token_budget=900, tokens_per_s=100)
    with server, httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        yield client, log, engine
        while log.num_open or engine.has_unfinished():
            time.sleep(0.005)
    assert engine.allocator.num_free == engine.allocator.num_blocks


def test_a_server_on_own_parts_answers_with_the_text_of_naive_decoding_and_stops_at_stop_strings(small, serving):
    (model, tokenizer), (client, log, _) = small, serving
    ids = tokenizer.encode("Once upon a time")
    text = tokenizer.decode(generate_naive(model, ids, SamplingParams(max_tokens=20, ignore_eos=True)))
    whole = client.post("/v1/completions", json=body()).json()["choices"][0]
    assert (whole["text"], whole["finish_reason"]) == (text, "length")
    stop = text[9:14]
    cut = client.post("/v1/completions", json=body(stop=[stop])).json()["choices"][0]
    assert (cut["text"], cut["finish_reason"]) == (text[: text.index(stop)], "stop")
    assert [one["how"] for one in log.snapshot()["requests"]] == ["finished", "finished"]


def test_a_server_on_own_parts_refuses_waits_and_frees_blocks_after_hang_ups(serving):
    client, log, engine = serving
    asked = body(max_tokens=700, stream=True)

    def ask():
        return client.send(client.build_request("POST", "/v1/completions", json=asked), stream=True)

    answers = [ask() for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 429]
    assert answers[2].headers["Retry-After"] == str(-(-(2 * 707 - 900) // 100))  # 7 tokens of the prompt and 700
    assert client.post("/v1/completions", json=body(max_tokens=950)).status_code == 400
    refused = client.post("/v1/completions", json=body(prompt=[99_999_999]))
    assert "the token id 99999999" in refused.text or refused.status_code == 429
    for answer in answers:
        answer.close()
    while log.num_open or engine.has_unfinished():
        time.sleep(0.005)
    assert [one["how"] for one in log.snapshot()["requests"]][:3] == ["cancelled", "cancelled", "refused"]
    assert client.post("/v1/completions", json=body()).status_code == 200


def test_a_front_end_that_fails_ends_all_answers_and_says_so(small):
    model, tokenizer = small

    class Fails(RIGHT["16.cancel"][0]):
        def turn(self):
            if self.messages:
                raise RuntimeError("a slip")

    engine = Engine(model, EngineConfig(num_blocks=64), tokenizer=tokenizer, trace=False)
    server, log = own_server(engine, "small", {"16.cancel": Fails})
    with server:
        answer = httpx.post(f"{server.url}/v1/completions", json=body(), timeout=60, trust_env=False)
        assert answer.status_code == 503 and "a slip" in json.loads(answer.text)["error"]["message"]
        assert httpx.post(f"{server.url}/v1/completions", json=body(), timeout=60, trust_env=False).status_code == 503
    assert not log.is_alive
