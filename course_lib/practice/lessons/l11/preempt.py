"""The exercise 11.preempt: the last running request is preempted and is computed again from the beginning."""

from course_lib.errors import LedgerError
from course_lib.practice.judge.exercise import Exercise, Property
from course_lib.practice.judge.programs import told
from course_lib.practice.judge.replay import replay
from course_lib.practice.judge.scripts import Arrival, Script, script_trial

from .preempt_game import Preempting, Roomy, WithOthers, played, scheduler_with_preemption
from .preempt_mistakes import MISTAKES
from .solutions.preempt import make_room


def make_room_again(request, n, running, waiting, manager):
    """Preempts one request, and then calls itself."""
    slots = manager.allocate_slots(request, n)
    if slots is not None:
        return slots
    if running == [request]:
        raise LedgerError("no other request runs")
    last = running[-1]
    del running[-1]
    waiting[:0] = [last]
    last.num_computed_tokens = 0
    manager.free(last)
    return None if last is request else make_room_again(request, n, running, waiting, manager)


def make_room_in_turn(request, n, running, waiting, manager):
    """Goes through the running requests from the last to the first."""
    if len(running) < 2:
        slots = manager.allocate_slots(request, n)
        if slots is None:
            raise LedgerError(request.request_id)
        return slots
    victims, slots = [], manager.allocate_slots(request, n)
    for victim in reversed(list(running)):
        if slots is not None:
            break
        manager.free(victim)
        victim.num_computed_tokens = 0
        victims = [victim] + victims
        if victim is request:
            break
        slots = manager.allocate_slots(request, n)
    for victim in victims:
        running.remove(victim)
    for victim in reversed(victims):
        waiting.insert(0, victim)
    return slots


def one(*steps, num_blocks=4, block_size=2, game=WithOthers):
    return told(game, {"num_blocks": num_blocks, "block_size": block_size}, *steps)


def runs(*prompts):
    """Requests a, b, c, … run, with prompts of this many tokens."""
    return [("run", name, prompt) for name, prompt in zip("abcdefgh", prompts)]


def day(*arrivals, **setup):
    return script_trial(
        lambda answer, script: replay(scheduler_with_preemption(answer), script.arrivals, **script.setup),
        Script(tuple(Arrival(name, step, prompt, max_tokens) for name, step, prompt, max_tokens in arrivals), setup),
        "replay(scheduler_with_preemption({answer}), {arrivals}, {setup})",
        "make_room",
        imports="from course_lib.practice.play import Arrival, replay, scheduler_with_preemption",
        least={"num_blocks": max(-(-(prompt + more) // setup["block_size"]) for _, _, prompt, more in arrivals)},
    )


def alike(number, prompt, max_tokens, apart=0):
    """(name, step, prompt, max_tokens) of requests of the same kind."""
    return [(name, apart * at, prompt, max_tokens) for at, name in enumerate("abcdefgh"[:number])]


PREEMPT = Exercise(
    id="11.preempt",
    title="The last request is preempted",
    name="make_room",
    cases="programs",
    properties=[
        Property(
            "Where there are enough blocks, the request gets its slots, and nothing else changes",
            "Most steps are like this: no request is preempted.",
            [one(*runs(prompt), ("write", "a", n), game=Roomy) for prompt, n in ((1, 1), (2, 1), (2, 3), (3, 5))]
            + [one(*runs(1, 3), ("wait", "c", 4), ("write", name, 1), game=Roomy) for name in "ab"]
            + [one(*runs(2, 2, 2), ("write", "c", 2), game=Roomy)],
        ),
        Property(
            "In a scheduler short of memory, the last of `running` is preempted, and every request ends",
            "The request that arrived last has the least to compute again. And the first request always goes on, "
            "so no request is preempted for ever.",
            [
                day(*alike(2, 3, 4), num_blocks=4, block_size=2),
                day(*alike(3, 2, 5), num_blocks=5, block_size=2),
                day(*alike(3, 2, 5, apart=1), num_blocks=4, block_size=2),
                day(*alike(4, 4, 6), num_blocks=6, block_size=3),
                day(*alike(3, 4, 4), num_blocks=9, block_size=1, max_num_batched_tokens=3),
                day(("a", 0, 2, 8), ("b", 1, 5, 2), ("c", 2, 1, 9), num_blocks=6, block_size=2),
            ],
        ),
        Property(
            "The blocks of a preempted request are free, and none of its tokens counts as computed",
            "Its keys and values are lost. Its token ids are kept, and that is enough.",
            [
                one(*runs(4, 4), ("write", "a", 1)),
                one(*runs(2, 2, 4), ("write", "a", 1)),
                one(*runs(2, 2, 4), ("write", "b", 1)),
                one(*runs(4, 2, 1), ("write", "a", 1)),
                one(*runs(2, 4, 2), ("write", "a", 1)),
                one(*runs(1, 4, 1), ("write", "b", 1)),
                one(*runs(2, 4, 2), ("write", "b", 2)),
                one(*runs(3, 3, 3), ("write", "a", 2), num_blocks=6, block_size=2),
                one(*runs(4, 4, 4), ("write", "b", 4), num_blocks=3, block_size=4),
            ],
        ),
        Property(
            "It waits at the front of the queue, and keeps its output tokens",
            "It arrived before all other waiting requests, and its output has been sent to the client already.",
            [
                one(*runs(2, 2), ("wait", "c", 3), *writes, ("write", "a", 3))
                for writes in ([], [("write", "b", 1)], [("write", "b", 2)], [("write", "a", 1), ("write", "b", 1)])
            ]
            + [one(*runs(4, 2, 1), ("wait", "d", 1), ("wait", "e", 2), ("write", "c", 1), ("write", "a", 1))],
        ),
        Property(
            "Only as many requests as needed are preempted; they wait in the order in which they ran",
            "One preemption may not free enough blocks. A request that is preempted without need is computed a "
            "second time.",
            [one(*runs(2, 2, 2, 2), ("write", "a", n)) for n in (1, 2, 3, 4, 5, 6)]
            + [one(*runs(1, 3, 2, 1), ("wait", "e", 2), ("write", "a", n), num_blocks=6) for n in (3, 6, 8)]
            + [one(*runs(2, 1, 1, 1), ("write", "b", n), num_blocks=5, block_size=1) for n in (1, 2, 3)],
        ),
        Property(
            "Where the request itself is the last one, it is preempted too, and `None` is returned",
            "All requests before it in `running` arrived earlier: they go on, and it waits.",
            [
                one(*runs(4, 4), ("write", "b", 1)),
                one(*runs(4, 2, 2), ("write", "b", 3)),
                one(*runs(4, 2, 2), ("write", "c", 1)),
                one(*runs(6, 1), ("wait", "c", 1), ("write", "b", 2)),
                one(*runs(6, 1), ("write", "b", 1), ("write", "b", 1)),
                one(*runs(2, 2, 2, 2), ("write", "c", 3)),
                one(*runs(3, 3), ("write", "a", 1), ("write", "b", 2)),
            ],
        ),
        Property(
            "A request that runs alone is never preempted: `LedgerError`, and nothing has changed",
            "There is no other request whose blocks could be freed. It would be preempted and admitted again for ever.",
            [
                one(*runs(prompt), ("write", "a", n), num_blocks=blocks, game=Preempting)
                for prompt, n, blocks in ((4, 1, 2), (2, 1, 1), (3, 2, 2), (6, 3, 4))
            ]
            + [one(*runs(3), ("wait", "b", 1), ("write", "a", 2), num_blocks=2, game=Preempting)],
        ),
        Property(
            "In random programs all of this holds",
            "Requests are admitted, decode, are preempted and end in every order.",
            played(make_room, 60, 5),
        ),
    ],
    mistakes=MISTAKES,
    hints=[
        "`manager.allocate_slots(request, n)` returns the slots or None, and where it returns None nothing has "
        "changed. So call it, and as long as the result is None, preempt one request and call it again.",
        "The last of `running` is preempted. Four things happen to it: it is removed from `running`, its blocks "
        "are freed, its `num_computed_tokens` becomes 0, and it goes to the front of `waiting`. Its `token_ids` "
        "stay.",
        "Two cases end the loop early. Where `running` has only one request, raise `LedgerError` before you "
        "remove it. Where the preempted request was `request`, return None.",
        "`while (slots := manager.allocate_slots(request, n)) is None:` with `victim = running.pop()` inside, and "
        "`return slots` after the loop.",
    ],
    rights=[make_room, make_room_again, make_room_in_turn],
    why="The token ids are kept. The lost keys and values can be computed again, in one step and not one by one, "
    "since all the tokens are known. The order keeps it fair: the last admitted request is preempted first and "
    "admitted again first. The first request of all is never preempted, so in every step at least one request "
    "makes progress. vLLM does this in `Scheduler.schedule`, course_lib in `Scheduler._preempt`.",
)
