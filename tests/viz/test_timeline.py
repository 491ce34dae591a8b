"""The engine's timeline: its replay against the records, its words, and the same in a real browser."""

import pytest

from course_lib.errors import CourseError
from course_lib.trace import Trace
from course_lib.viz import bare_page, timeline_view


def told():
    """A scheduler's records without memory: a chunked prompt, a decode, one who makes room and computes again, an abort."""
    trace = Trace()
    trace.add("engine", policy="FCFS", max_num_seqs=2, max_num_batched_tokens=8)
    trace.add("queue", request="a", client="ann", priority=0, num_tokens=10)
    trace.add("queue", request="b", client="bob", priority=0, num_tokens=3)
    trace.add("schedule", requests=["a"], starts=[0], counts=[8])
    trace.next_step()
    trace.add("schedule", requests=["a", "b"], starts=[8, 0], counts=[2, 3])
    trace.next_step()
    trace.add("queue", request="c", client="ann", priority=0, num_tokens=5)
    trace.add("preempt", request="b", how="recompute", num_tokens=3)
    trace.add("schedule", requests=["a"], starts=[10], counts=[1])
    trace.next_step()
    trace.add("finish", request="c", reason="abort")
    trace.add("schedule", requests=["a", "b"], starts=[11, 0], counts=[1, 4])
    trace.add("finish", request="a", reason="length")
    trace.next_step()
    trace.add("schedule", requests=["b"], starts=[4], counts=[1])
    return trace


def test_the_lanes():
    lanes = {lane[0]: lane[3:] for lane in timeline_view(told()).data["lanes"]}
    assert lanes == {
        "a": [0, [4, "length"], [["prefill", 0, 2, 0, [8, 2]], ["decode", 2, 4, 10, 0]]],
        "b": [0, None, [["waiting", 0, 1, 0, 0], ["prefill", 1, 2, 0, [3]], ["preempted", 2, 3, 0, 0], ["again", 3, 4, 0, [4]], ["decode", 4, 5, 4, 0]]],
        "c": [2, [3, "abort"], [["waiting", 2, 3, 0, 0]]],
    }  # fmt: skip


def test_the_words():
    view = timeline_view(told())
    assert [view.words(step) for step in range(1, view.last + 1)] == [
        "b comes and waits. a joins with prompt tokens 0–7 of 10.",
        "b joins with prompt tokens 0–2 of 3. a computes prompt tokens 8–9 of 10.",
        "c comes and waits. b makes room: 3 tokens thrown away. a decodes one token.",
        "b comes back and computes tokens 0–3 again. a decodes one token. c is aborted. a is done (length).",
        "b decodes one token.",
    ]


def test_a_page_draws(open_view):
    page = open_view(timeline_view(told(), clients=True))
    page.evaluate("view.model.set('step', 3)")
    assert "makes room" in page.inner_text(".cl-say")


def test_memory_alone_is_no_timeline():
    with pytest.raises(CourseError, match="says nothing of an engine"):
        timeline_view([[0, "start", 4, 2], [0, "allocate", [1]]])
    assert bare_page(timeline_view(told())).count("</script>") == 2
