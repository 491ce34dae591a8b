"""Requests as they stream, and the chat box: words, tables, what is refused, and both in a real browser."""

import pytest

from course_lib.errors import ParameterError
from course_lib.viz import chat_box, request_streams


def request(name, arrival, begin, tokens, end, how):
    return {
        "name": name, "num_prompt_tokens": 7, "arrival": arrival, "begin": begin, "tokens": tokens, "end": end,
        "how": how,
    }  # fmt: skip


def snapshot(now=0.2):
    requests = [
        request("1", 0.0, 0.01, [0.02, 0.03, 0.04], 0.05, "finished"),
        request("2", 0.01, 0.02, [0.03, 0.04], 0.1, "cancelled"),
        request("3", 0.02, None, [], 0.08, "cancelled"),
        request("4", 0.03, None, [], 0.03, "refused"),
        request("5", 0.04, 0.1, [0.15], None, None),
    ]
    return {"now": now, "num_blocks": 8, "memory": [[0, 0], [0.01, 2], [0.05, 1], [0.1, 3]], "requests": requests}


@pytest.fixture
def view():
    return request_streams(snapshot())


def step_at(view, ms):
    return 1 + view.data["moments"].index(ms)


def test_states_by_moment(view):
    seen = {ms: [row["state"] for row in view.table(step_at(view, ms))] for ms in (0.0, 20.0, 40.0, 100.0, 200.0)}
    there = "not there yet"
    assert seen == {
        0.0: ["waits", there, there, there, there],
        20.0: ["streams", "prefill", "waits", there, there],
        40.0: ["streams", "streams", "waits", "refused", "waits"],
        100.0: ["finished", "cancelled", "cancelled", "refused", "prefill"],
        200.0: ["finished", "cancelled", "cancelled", "refused", "streams"],
    }
    assert [row["tokens"] for row in view.table(step_at(view, 40.0))] == [3, 2, 0, 0, 0]
    assert view.step == view.last and view.table()[1]["TTFT"] == "20.0 ms"


def test_words_say_what_has_happened_and_how_many_blocks_are_in_use(view):
    assert view.words(step_at(view, 30.0)) == (
        "30 ms. R2 gets the first token. R4 is refused. 2 requests run, 1 waits. 2 blocks in use."
    )
    assert "The client of R2 hangs up: its blocks go back." in view.words(step_at(view, 100.0))


def test_a_log_is_followed_while_a_block_runs():
    class Log:
        now = 0.1

        def snapshot(self):
            return snapshot(self.now)

    log = Log()
    view = request_streams(log)
    with view.live(every=0.01):
        log.now = 0.5
    assert view.data["moments"][-1] == 500.0 and view.step == view.last


@pytest.mark.parametrize(
    "found, words",
    [
        ({}, "has no 'now'"),
        (snapshot() | {"requests": [{"name": "1"}]}, r"requests\[0\] has no"),
        (snapshot() | {"requests": [request("1", 0.0, None, [], 0.1, "gone")]}, "ended as 'gone'"),
    ],
)
def test_another_record_is_refused(found, words):
    with pytest.raises(ParameterError, match=words):
        request_streams(found)


def test_the_streams_in_a_browser_are_stepped_chosen_and_built_again_for_new_data(open_view, view):
    page = open_view(view)
    page.get_by_role("grid").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
    assert (page.state.selected(), page.state.step()) == ("2", view.last - 1)
    assert page.inner_text(".cl-note").startswith("R2 cancelled, 2 tokens. Queue time 10.0 ms, TTFT 20.0 ms")
    assert [row[1] for row in page.state.table()] == [row["state"] for row in view.table(view.last - 1)]
    more = request_streams(snapshot(0.9)).data
    page.evaluate("data => view.model.set('data', data)", more)
    assert page.get_attribute(".cl-scrub", "max") == str(more["last"]) and page.locator(".cl-streams").count() == 1


def asked(messages):
    yield "there "
    yield f"were {len(messages)}."


def test_a_chat_sends_the_whole_conversation_and_keeps_the_answers():
    box = chat_box(asked, lambda: (3, 8), system="Be brief.")
    assert [box.say("Once"), box.say("And then?")] == ["there were 2.", "there were 4."]
    assert [row["text"] for row in box.table()] == ["Once", "there were 2.", "And then?", "there were 4."]
    assert box.words() == "3 of 8 blocks in use now, 3 at most for this answer."
    with pytest.raises(ParameterError, match="at least one letter"):
        box.say("  ")


def test_a_chat_hangs_up_and_says_what_the_server_refused():
    closed = []

    def endless(messages):
        try:
            while True:
                box.stop()
                yield "on "
        finally:
            closed.append(True)

    box = chat_box(endless)
    assert box.say("Once") == "on " and closed == [True] and "You hung up" in box.words()

    def refused(messages):
        raise RuntimeError("429: too many.")

    box = chat_box(refused)
    assert box.say("Once") == "" and box.words() == "The server did not answer: RuntimeError: 429: too many."


def test_the_chat_in_a_browser_sends_what_is_written_and_shows_what_comes(open_view):
    box = chat_box(asked, lambda: (3, 8))
    page = open_view(box)
    page.get_by_label("your message").fill("Once upon")
    page.keyboard.press("Enter")
    assert page.evaluate("view.model.get('asked')") == {"text": "Once upon", "number": 1}
    box.say("Once upon")
    page.evaluate("data => view.model.set('data', data)", box.data)
    assert page.locator(".cl-chat-talk li").all_text_contents() == ["youOnce upon", "the modelthere were 1."]
    assert page.get_by_label("3 of 8 blocks in use").count() == 1
    page.evaluate("data => view.model.set('data', data)", box.data | {"state": "streams"})
    page.get_by_role("button", name="Hang up").click()
    assert page.evaluate("view.model.get('asked')") == {"stop": True, "number": 2}
