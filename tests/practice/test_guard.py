"""Answers that would end the process, wait, take over signals or change what all code shares: told; nothing dies."""

import builtins
import inspect
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from os import _exit as leave_at_once
from types import SimpleNamespace

import nbformat
import pytest
import torch
from nbclient import NotebookClient

from course_lib import check
from course_lib.practice.judge import guard, limits, memory_limit, registry
from course_lib.practice.judge.running import run
from course_lib.practice.judge.surroundings import Surroundings

KINDS = ["01.greedy", "01.generate", "02.cache", "04.allocator", "06.online_softmax", "10.step", "11.priority"]
"""A function, a loop, two classes, one on tensors, one that gets a scheduler's requests, and a policy."""


def doing(exercise_id, act):
    """The reference of an exercise, with act() done first at each call."""
    reference = registry.find(exercise_id).reference
    if inspect.isclass(reference):

        def __init__(self, *args, **kwargs):
            act()
            reference.__init__(self, *args, **kwargs)

        return type(reference.__name__, (reference,), {"__init__": __init__})

    def answer(*args, **kwargs):
        act()
        return reference(*args, **kwargs)

    answer.__signature__ = inspect.signature(reference)
    return answer


def leaves():
    exit()


def leaves_the_process():
    os._exit(3)


def leaves_by_another_name():
    leave_at_once(3)


def kills_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def asks():
    input("Which token? ")


def reads():
    sys.stdin.readline()


def is_deaf():
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def interrupts():
    raise KeyboardInterrupt


def swallows():
    try:
        os.abort()
    except:  # noqa: E722
        pass


REFUSED = {
    leaves: "`exit()` would end the whole notebook",
    leaves_the_process: "`os._exit()` would end the whole notebook",
    leaves_by_another_name: "`os._exit()` would end the whole notebook",
    kills_itself: "`os.kill()` sends a signal to this very process",
    asks: "`input()` waits for a person",
    reads: "`sys.stdin.readline()` waits for a person",
    is_deaf: "`signal.signal()` changes what interrupts this process",
    interrupts: "nobody pressed Ctrl-C",
    swallows: "`os.abort()` would end the whole notebook",
}


@pytest.mark.parametrize("exercise_id", KINDS)
@pytest.mark.parametrize("act", REFUSED, ids=lambda act: act.__name__)
def test_what_would_end_or_stop_the_process_fails_in_the_learners_line(exercise_id, act):
    before = Surroundings()
    result = check(exercise_id, doing(exercise_id, act))
    assert result.state == "failed"
    assert REFUSED[act] in str(result) and f"of {act.__name__}:  " in str(result)
    assert before.put_back() == []


def finer():
    torch.set_default_dtype(torch.float64)


def looks_elsewhere():
    sys.path.insert(0, "/nowhere")


def shortens():
    builtins.len = lambda value: 3


def moves():
    os.chdir("/")


def sets():
    os.environ["COURSE_TEST_GUARD"] = "1"


def forgets_gradients():
    torch.set_grad_enabled(not torch.is_grad_enabled())


CHANGED = {
    finer: "torch's default dtype",
    looks_elsewhere: "`sys.path`",
    shortens: "names of Python's own",
    moves: "the current folder",
    sets: "environment variables",
    forgets_gradients: "whether torch records gradients",
}


@pytest.mark.parametrize("exercise_id", ["01.greedy", "04.allocator", "11.priority"])
@pytest.mark.parametrize("act", CHANGED, ids=lambda act: act.__name__)
def test_what_an_answer_changes_around_itself_is_put_back_and_told_once_with_the_line(exercise_id, act):
    before = Surroundings()
    said = [notice for notice in check(exercise_id, doing(exercise_id, act)).notices if "Your code changes" in notice]
    assert before.put_back() == []
    assert len(said) == 1 and CHANGED[act] in said[0] and f"line 2 of {act.__name__}: `" in said[0]


def test_a_right_answer_brings_no_notice_and_leaves_everything_as_it_was():
    before, real = Surroundings(), (os._exit, signal.signal, builtins.input, threading.Thread.start)
    result = check("04.allocator", registry.find("04.allocator").reference)
    assert result and not [notice for notice in result.notices if "Your code" in notice]
    assert before.put_back() == [] and guard.active is None
    assert real == (os._exit, signal.signal, builtins.input, threading.Thread.start)


def test_random_numbers_go_on_as_if_nothing_had_been_checked():
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    check("01.greedy", doing("01.greedy", lambda: torch.manual_seed(1)))
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_left_running_is_stopped_and_told():
    def turns():
        while True:
            pass

    def starts():
        threading.Thread(target=turns, name="left running").start()

    result = check("01.greedy", doing("01.greedy", starts))
    assert any("starts a thread and returns while it runs on. The check has stopped it." in n for n in result.notices)
    assert "line 2 of starts:  threading.Thread(target=turns" in str(result)
    assert "left running" not in [thread.name for thread in threading.enumerate()]


def test_a_thread_that_ends_is_nobodys_business():
    def starts():
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()

    result = check("01.greedy", doing("01.greedy", starts))
    assert result and not any("thread" in notice for notice in result.notices)


def test_a_program_left_running_is_killed_and_told():
    programs = SimpleNamespace(all=[])  # no list: a check brings a learner's lists back to what they were

    def starts():
        programs.all.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))

    result = check("01.greedy", doing("01.greedy", starts))
    assert any("starts a program and returns while it runs on" in notice for notice in result.notices)
    assert programs.all and all(program.poll() is not None for program in programs.all)


@pytest.mark.skipif(limits.WAKES is None, reason="Windows has no signal that ends a wait of the main thread")
@pytest.mark.parametrize("wait", [lambda: time.sleep(1e5), threading.Event().wait], ids=["sleep", "wait"])
def test_a_call_that_waits_for_ever_is_stopped(wait):
    with guard.guarded():
        outcome, _ = run(wait, wait, 0.05)
    assert outcome.out_of_time


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux limits the memory of a process so")
def test_a_list_without_end_raises_memory_error_in_its_line(monkeypatch):
    monkeypatch.setattr(guard, "room", lambda: 2**27)

    def grows():
        kept = []
        while True:
            kept.append(bytes(2**22))

    with guard.guarded():
        outcome, _ = run(grows, grows, 60)
        assert run(lambda: len(bytes(2**22)), grows, 60)[0] == 2**22  # nothing is left of the limit's exhaustion
    assert outcome.kind == "MemoryError" and "Does a list grow without end?" in str(outcome)
    assert "line 4 of grows:  kept.append(bytes(2**22))" in str(outcome)


def test_no_less_than_a_quarter_of_a_gigabyte_is_allowed_and_nothing_is_limited_elsewhere(monkeypatch):
    monkeypatch.setattr(memory_limit, "_machine_free", lambda: 1000)
    monkeypatch.setattr(sys, "platform", "linux")
    if not torch.cuda.is_available():
        assert memory_limit.room() == memory_limit.LEAST
    monkeypatch.setattr(sys, "platform", "darwin")
    assert memory_limit.room() is None


def test_a_hundred_megabytes_of_text_are_cut():
    def prints():
        for _ in range(100):
            print("x" * 1_000_000)
        print("and to stderr", file=sys.stderr)

    outcome, text = run(prints, prints, 60)
    assert outcome is None and len(text) < 101_000
    assert "… and 99,900,114 characters more" in text


def test_endless_recursion_with_a_raised_limit_is_only_a_failure():
    def falls():
        sys.setrecursionlimit(10**8)

        def down(x):
            return max(map(down, [x]))

        down(1)

    with guard.guarded():
        outcome, _ = run(falls, falls, 60)
    assert outcome.kind == "RecursionError"


def test_a_kernel_lives_on_after_each_of_them():
    body = """
    import os, signal, sys
    from course_lib import check
    from course_lib.practice.judge import registry
    greedy = registry.find("01.greedy").reference
    def tried(act):
        def answer(logits):
            act()
            return greedy(logits)
        print(check("01.greedy", answer).state)
    """
    acts = "exit(); quit(); sys.exit(); os._exit(1); input(); os.kill(os.getpid(), 9); signal.raise_signal(2)"
    cells = [body, *(f"def act(): {act}\ntried(act)" for act in acts.split("; ")), "print('alive')"]
    cells = [nbformat.v4.new_code_cell(textwrap.dedent(cell)) for cell in cells]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=1800, kernel_name="python3").execute()
    shown = ["".join(output.get("text", "") for output in cell.outputs).strip() for cell in notebook.cells[1:]]
    assert shown == ["failed"] * 7 + ["alive"]
