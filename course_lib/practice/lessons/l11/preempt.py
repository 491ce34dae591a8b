"""Cases of 11.preempt: the last one makes room, is computed again from the beginning, and nobody makes room for ever."""

from course_lib.errors import LedgerError
from course_lib.practice.judge.exercise import Exercise, Property
from course_lib.practice.judge.programs import told
from course_lib.practice.judge.replay import replay
from course_lib.practice.judge.scripts import Arrival, Script, script_trial

from .preempt_game import Preempting, Roomy, WithOthers, played, scheduler_with_preemption
from .preempt_mistakes import MISTAKES
from .solutions.preempt import make_room


def make_room_again(request, n, running, waiting, manager):
    """One makes room, and then the same question again."""
    slots = manager.allocate_slots(request, n)
    if slots is not None:
        return slots
    if running == [request]:
        raise LedgerError("nobody else runs")
    last = running[-1]
    del running[-1]
    waiting[:0] = [last]
    last.num_computed_tokens = 0
    manager.free(last)
    return None if last is request else make_room_again(request, n, running, waiting, manager)


def make_room_in_turn(request, n, running, waiting, manager):
    """Goes through the running ones from behind."""
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
    """a, b, c, … run, with prompts of so many tokens."""
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
    """(name, step, prompt, max_tokens) of requests that are alike."""
    return [(name, apart * at, prompt, max_tokens) for at, name in enumerate("abcdefgh"[:number])]


PREEMPT = Exercise(
    id="11.preempt",
    title="The last one makes room",
    name="make_room",
    cases="programs",
    properties=[
        Property(
            "Where there is room, the request gets its slots, and everything else stays as it is",
            "Most steps are like this: nobody has to go.",
            [one(*runs(prompt), ("write", "a", n), game=Roomy) for prompt, n in ((1, 1), (2, 1), (2, 3), (3, 5))]
            + [one(*runs(1, 3), ("wait", "c", 4), ("write", who, 1), game=Roomy) for who in "ab"]
            + [one(*runs(2, 2, 2), ("write", "c", 2), game=Roomy)],
        ),
        Property(
            "In a scheduler short of memory, the last of `running` makes room, and everybody is served in the end",
            "Who came last has the least to compute again. And the first always gets on, so nobody makes room for ever.",
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
            "Of the one that makes room, the blocks are free, and no token counts as computed",
            "Its keys and values are gone. Only the text is left, and that is enough.",
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
            "It stands at the front of those who wait, with all it has written",
            "It came before all of them, and its text has been sent out already.",
            [
                one(*runs(2, 2), ("wait", "c", 3), *writes, ("write", "a", 3))
                for writes in ([], [("write", "b", 1)], [("write", "b", 2)], [("write", "a", 1), ("write", "b", 1)])
            ]
            + [one(*runs(4, 2, 1), ("wait", "d", 1), ("wait", "e", 2), ("write", "c", 1), ("write", "a", 1))],
        ),
        Property(
            "As many make room as are needed, and none more; they wait in the order in which they ran",
            "One block may not be enough. And each that goes too far back, or for nothing, is computed a second time.",
            [one(*runs(2, 2, 2, 2), ("write", "a", n)) for n in (1, 2, 3, 4, 5, 6)]
            + [one(*runs(1, 3, 2, 1), ("wait", "e", 2), ("write", "a", n), num_blocks=6) for n in (3, 6, 8)]
            + [one(*runs(2, 1, 1, 1), ("write", "b", n), num_blocks=5, block_size=1) for n in (1, 2, 3)],
        ),
        Property(
            "Where the turn comes to the request itself, it makes room too, and `None` comes back",
            "All before it in `running` came earlier: they go on, and it waits.",
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
            "Who runs alone is never thrown out: `LedgerError`, and nothing has changed",
            "There is nobody whose blocks could help. It would wait, come in, and be thrown out again, for ever.",
            [
                one(*runs(prompt), ("write", "a", n), num_blocks=blocks, game=Preempting)
                for prompt, n, blocks in ((4, 1, 2), (2, 1, 1), (3, 2, 2), (6, 3, 4))
            ]
            + [one(*runs(3), ("wait", "b", 1), ("write", "a", 2), num_blocks=2, game=Preempting)],
        ),
        Property(
            "In any program all of this holds",
            "Requests join, grow, make room and end in every order.",
            played(make_room, 60, 5),
        ),
    ],
    mistakes=MISTAKES,
    hints=[
        "`manager.allocate_slots(request, n)` gives the slots or None, and where it gives None nothing has changed. So: ask, "
        "and as long as the answer is None, let one make room and ask again.",
        "Who? The last of `running`. Four things happen to it: it leaves `running`, its blocks are freed, its "
        "`num_computed_tokens` is 0, and it goes to the front of `waiting`. Its `token_ids` stay.",
        "Two cases end the loop early. Where `running` has one request only, raise `LedgerError` before you take it off. Where "
        "the one that made room was `request`, return None.",
        "`while (slots := manager.allocate_slots(request, n)) is None:` with `victim = running.pop()` inside, and `return "
        "slots` behind it.",
    ],
    rights=[make_room, make_room_again, make_room_in_turn],
    why="What is kept is the text; what is lost can be computed again, in one step and not one by one, since all the tokens "
    "are known. The order is what keeps it fair: the last in goes first and comes back first, and the first of all is "
    "never touched, so every step brings somebody nearer to the end. vLLM does this in `Scheduler.schedule`, course_lib in "
    "`Scheduler._preempt`.",
)
