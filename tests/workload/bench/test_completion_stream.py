"""The reader of a server's answer: events cut anywhere, token times, and what counts as a failure."""

import json
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.workload import Arrival
from course_lib.workload.bench.completion_stream import CompletionStream, EventReader, one_line, spread


def event(data, end="\n"):
    return f"data: {data}{end}{end}".encode()


def pieces(text, cuts):
    """The bytes, cut at these places."""
    places = sorted({min(cut, len(text)) for cut in cuts})
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)])]


@given(
    st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), min_size=1), max_size=6),
    st.lists(st.integers(0, 300), max_size=20),
    st.sampled_from(["\n", "\r\n"]),
)
def test_events_are_the_same_wherever_the_bytes_are_cut(texts, cuts, end):
    """Also inside of a character, and with the characters at which str.splitlines splits."""
    texts = [json.dumps(text, ensure_ascii=False) for text in [*texts, "a\u2028b\x85c\x0bd\U0001f9a6"]]
    sent = b": a comment" + end.encode() * 2 + b"".join(event(text, end) for text in texts)
    reader = EventReader()
    assert [data for piece in pieces(sent, cuts) for data in reader.read(piece)] == texts


def test_data_in_several_lines_is_one_event():
    assert list(EventReader().read(b'event: x\ndata: {"a":\ndata: 1}\nid: 3\n\n')) == ['{"a":\n1}']


def test_an_event_that_has_not_ended_is_not_read():
    assert list(EventReader().read(b"data: [DONE]\n")) == []


def stream_of(*events, times=None):
    """A CompletionStream that has read these events; each look at the clock is one second later."""
    ticks = iter(times) if times else count(1)
    stream = CompletionStream(lambda: float(next(ticks)))
    for one in events:
        stream.read(event(one if isinstance(one, str) else json.dumps(one)))
    return stream


def text(words, finish=None):
    return {"choices": [{"text": words, "finish_reason": finish}]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3,
                                  "prompt_tokens_details": {"cached_tokens": 4}}}  # fmt: skip
ARRIVAL = Arrival(0.5, [5] * 9, 3)


def test_each_piece_of_text_is_a_token_and_usage_has_the_last_word():
    stream = stream_of(text("a"), text("b"), text("c"), text("", "length"), USAGE, "[DONE]")
    assert stream.problem(3) is None
    metrics = stream.metrics(ARRIVAL, None)
    assert metrics.token_times == [1.0, 2.0, 3.0] and metrics.finished == 3.0 and metrics.finish_reason == "length"
    assert (metrics.num_prompt_tokens, metrics.num_cached_tokens, metrics.ttft) == (7, 4, 0.5)


def test_token_ids_are_those_of_all_pieces():
    pieces = [text("a"), text("", "length"), USAGE]
    for one, ids in zip(pieces[:2], ([4, 5], None)):
        one["choices"][0]["token_ids"] = ids
    assert stream_of(*pieces, "[DONE]").token_ids == [4, 5]
    for bad in ("ab", [1.0], [-1], [True], {"0": 1}):
        pieces[0]["choices"][0]["token_ids"] = bad
        with pytest.raises(ValueError, match="token_ids"):
            stream_of(*pieces)


def test_without_usage_pieces_are_counted_and_the_prompt_is_what_was_sent():
    metrics = stream_of(text("a"), text("b", "stop"), "[DONE]").metrics(ARRIVAL, None)
    assert (metrics.num_prompt_tokens, metrics.num_output_tokens) == (9, 2) and metrics.is_complete


def test_more_tokens_than_pieces_keep_ttft_tpot_and_e2el():
    metrics = stream_of(text("ab"), text("c", "stop"), USAGE, "[DONE]").metrics(ARRIVAL, None)
    assert metrics.num_output_tokens == 3 and metrics.ttft == 0.5
    assert (metrics.tpot, metrics.e2e_latency) == ((2.0 - 1.0) / 2, 1.5)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20).map(sorted), st.integers(1, 40))
def test_spread_times_have_the_wanted_number_and_both_ends(times, n):
    found = spread(times, n)
    assert len(found) == n and found == sorted(found) and found[-1] == times[-1] and set(found) <= set(times)
    assert n == 1 or found[0] == times[0]


@pytest.mark.parametrize(
    ("events", "says"),
    [
        ((text("a"),), "before [DONE]"),
        ((text("a"), "[DONE]"), "finish_reason None"),
        ((text("a", "abort"), "[DONE]"), "finish_reason 'abort'"),
        ((text("", "stop"), "[DONE]"), "no token came"),
        ((text("a"), {"error": {"message": "out of memory"}}, "[DONE]"), "out of memory"),
        (({"error": "busy"},), "busy"),
        ((text("a", "stop"), {"choices": [], "usage": {"completion_tokens": 10**12}}, "[DONE]"), "3 were asked for"),
    ],
)
def test_what_is_not_a_whole_answer_has_a_problem(events, says):
    stream = stream_of(*events)
    problem = stream.problem(3)
    assert says in problem
    metrics = stream.metrics(ARRIVAL, problem)
    assert metrics.finish_reason == "error" and not metrics.is_complete and metrics.num_output_tokens < 10


@pytest.mark.parametrize("data", ["{", "[1]", '{"usage": 3}', '{"usage": {"completion_tokens": -1}}',
                                  '{"usage": {"prompt_tokens_details": [1]}}'])  # fmt: skip
def test_what_is_no_completion_is_refused(data):
    with pytest.raises(ValueError):
        stream_of(data)


def test_nothing_is_read_after_done():
    stream = stream_of(text("a", "stop"), "[DONE]")
    stream.read(event(json.dumps(text("b"))) + event("{"))
    assert stream.problem(3) is None and stream.metrics(ARRIVAL, None).num_output_tokens == 1


def test_messages_are_one_line():
    assert one_line("a\n\tb " + "c" * 500).startswith("a b c") and len(one_line("d" * 500)) <= 160
