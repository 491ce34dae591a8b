"""Text that grows: what is streamed is what the whole decodes to, and a stop string ends it wherever its pieces
fall.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib import load_model
from course_lib.decoding import SamplingParams, generate_naive
from course_lib.engine import Engine, EngineConfig
from course_lib.engine.outputs import Detokenizer
from course_lib.models import load_tokenizer

SETTINGS = settings(max_examples=150, deadline=None, derandomize=True, database=None)
TALE = load_tokenizer("tale")


def stream(ids, stop=(), prompt=(5, 6, 7)):
    """(the text after each token up to the one that stops it, Text)."""
    text, seen = Detokenizer(TALE, list(prompt), stop), []
    for i in ids:
        ended = text.append(i)
        seen.append(text.so_far())
        if ended:
            break
    return seen, text


@given(
    ids=st.lists(st.integers(0, TALE.vocab_size - 1), max_size=30),
    prompt=st.lists(st.integers(0, TALE.vocab_size - 1), max_size=6),
)
@SETTINGS
def test_what_is_streamed_is_what_the_whole_decodes_to(ids, prompt):
    seen, text = stream(ids, prompt=prompt)
    both, before = TALE.decode(prompt + ids), TALE.decode(prompt)
    if before.endswith("\N{REPLACEMENT CHARACTER}"):
        return  # the prompt itself ends within a character
    assert text.so_far(finished=True) == both[len(before) :]
    assert all(later.startswith(earlier) for earlier, later in zip(seen, [*seen[1:], text.so_far(finished=True)]))


def test_parts_of_a_character_wait_until_it_is_whole():
    ids = TALE.encode("né 🦊!", add_bos=False)
    seen, text = stream(ids)
    assert len(ids) > 4 and not any("\N{REPLACEMENT CHARACTER}" in one for one in seen) and text.so_far() == "né 🦊!"
    fox = TALE.encode("🦊", add_bos=False)
    seen, text = stream(fox[:-1])
    assert seen[-1] == "" and "\N{REPLACEMENT CHARACTER}" in text.so_far(finished=True)


@given(
    words=st.lists(st.sampled_from(["fox", "the", "é", "🦊", "Once upon", "\n\n", "a"]), min_size=1, max_size=12),
    data=st.data(),
)
@SETTINGS
def test_a_stop_string_is_found_as_soon_as_it_is_there_and_cut_off(words, data):
    whole = " ".join(words)
    ids = TALE.encode(whole, add_bos=False)
    start = data.draw(st.integers(0, len(whole) - 1))
    stop = [whole[start : start + data.draw(st.integers(1, 6))], "never"]
    seen, text = stream(ids, stop)
    assert text.so_far() == text.so_far(finished=True) == whole[: whole.find(stop[0])]
    assert stop[0] not in TALE.decode(ids[: len(seen) - 1])  # it was not there before the last token


def test_ids_that_the_tokenizer_does_not_know_are_passed_over():
    seen, text = stream([*TALE.encode("a", add_bos=False), 10**6, *TALE.encode(" b", add_bos=False)])
    assert text.so_far() == "a b"


@pytest.fixture(scope="module")
def tale():
    return load_model("tale", device="cpu", dtype=torch.float32)


def test_the_engine_streams_text_and_stops_at_strings(tale):
    model, tokenizer = tale
    prompts = ["Once upon a time", "In a quiet harbour there lived an otter"]
    whole = [
        tokenizer.decode(generate_naive(model, tokenizer.encode(p), SamplingParams(max_tokens=48))) for p in prompts
    ]
    e = Engine(model, EngineConfig(num_blocks=16), tokenizer=tokenizer)
    stops = [SamplingParams(max_tokens=48, stop=[text[20:26]]) for text in whole]
    got = e.generate(prompts, stops)
    for output, text, params in zip(got, whole, stops):
        assert output.text == text[: text.find(params.stop[0])] and output.finish_reason == "stop"
        assert params.stop[0] in tokenizer.decode(output.token_ids)  # the tokens are all there
    assert [o.text for o in e.generate(prompts, SamplingParams(max_tokens=48))] == whole
    request = e.add_request(tokenizer.encode(prompts[0]), SamplingParams(max_tokens=12))
    streamed = []
    while e.has_unfinished():
        streamed += [o.text for o in e.step() if o.request_id == request]
    assert (
        len(streamed) == 12
        and all(b.startswith(a) for a, b in zip(streamed, streamed[1:]))
        and whole[0].startswith(streamed[-1])
    )
    texts = {r["request"]: r["text"] for r in e.trace.records if r["event"] == "text"}
    assert "".join(texts[request]).endswith(streamed[-1])
