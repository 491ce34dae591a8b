"""Cases of 11.preempt: the last one makes room, is computed again from the beginning, and nobody makes room for ever."""

from course_lib.errors import LedgerError
from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.judge.programs import told
from course_lib.practice.judge.replay import replay
from course_lib.practice.judge.scripts import Arrival, Script, script_trial

from .preempt_game import Preempting, Roomy, WithOthers, played, scheduler_with_preemption
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


def wrong(
    victim=lambda running, request: running[-1],
    place=lambda waiting, victim, before: waiting.insert(0, victim),
    computed=lambda victim: 0,
    text=lambda victim: victim.token_ids,
    frees=True,
    first=False,
    once=False,
    runs_on=False,
    alone="raises",
    itself="none",
    asks=lambda n: n,
    returns=lambda slots: slots,
    enough=lambda slots, running, request: slots is not None,
):
    """make_room with one of its parts replaced."""

    def make_room(request, n, running, waiting, manager):
        slots, before = None if first else manager.allocate_slots(request, asks(n)), len(waiting)
        while not enough(slots, running, request):
            if len(running) == 1 and alone != "thrown out":
                if alone == "raises":
                    raise LedgerError("alone")
                return None
            chosen = victim(running, request)
            if not runs_on:
                running.remove(chosen)
            if frees:
                manager.free(chosen)
            chosen.num_computed_tokens = computed(chosen)
            chosen.token_ids[:] = text(chosen)
            place(waiting, chosen, before)
            if chosen is request and itself == "none":
                return None
            slots = manager.allocate_slots(request, asks(n)) if slots is None else slots
            if once:
                break
        return returns(slots)

    return make_room


def new_lists(request, n, running, waiting, manager):
    """Right, but for lists that nobody else sees."""
    return make_room(request, n, running[:], waiting[:], manager)


def says_no(request, n, running, waiting, manager):
    """Nobody makes room."""
    if (slots := manager.allocate_slots(request, n)) is None:
        raise LedgerError("no room")
    return slots


def too_late(request, n, running, waiting, manager):
    """Sees that it was the only one when it is off the list."""
    alone = running == [request]
    slots = wrong(alone="thrown out")(request, n, running, waiting, manager)
    if slots is None and alone:
        raise LedgerError("alone")
    return slots


def counts_blocks(request, n, running, waiting, manager):
    """Asks the allocator how many blocks are free, as if each of the n tokens needed room in a new one."""
    while manager.allocator.num_free < -(-n // manager.allocator.block_size):
        if len(running) == 1:
            raise LedgerError("alone")
        victim = running.pop()
        manager.free(victim)
        victim.num_computed_tokens = 0
        waiting.insert(0, victim)
        if victim is request:
            return None
    return manager.allocate_slots(request, n)


def asks_twice(request, n, running, waiting, manager):
    """Whether there is room, and then for the slots."""
    return make_room(request, n, running, waiting, manager) and manager.allocate_slots(request, n)


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
    mistakes=[
        Mistake(
            "the first of the running ones makes room.",
            "It is the one who got furthest. And it may have its slots for "
            "this step already. Whoever comes first must always get on, or two may throw each other out for ever. Take the "
            "last: `running.pop()`.",
            wrong(victim=lambda running, request: running[0]),
        ),
        Mistake(
            "who needs room is the one who goes.",
            "It may be the first of all, and then nobody gets on. Take the last of "
            "`running`, which may be the request itself.",
            wrong(victim=lambda running, request: request),
        ),
        Mistake(
            "the request itself is passed over.",
            "If it stands last, it is the one that goes: all others came earlier, and may "
            "have their slots for this step already. Take the last of `running`, whoever it is.",
            wrong(victim=lambda running, request: [one for one in running if one is not request][-1]),
        ),
        Mistake(
            "the largest makes room.",
            "That frees most blocks, and throws most work away; and a long request may never "
            "get to its end. Take the last.",
            (
                wrong(victim=lambda running, request: max(running, key=lambda one: one.num_tokens)),
                wrong(victim=lambda running, request: max(running[::-1], key=lambda one: one.num_tokens)),
            ),
        ),
        Mistake(
            "the smallest makes room.",
            "It may be far from enough, and it may be the first. Take the last.",
            wrong(victim=lambda running, request: min(running, key=lambda one: one.num_tokens)),
        ),
        Mistake(
            "all that can go make room.",
            "Each of them is computed a second time. Ask for the slots again after each one that goes.",
            wrong(
                enough=lambda slots, running, request: (
                    slots is not None and running[-1] is request or len(running) == 1 and slots is not None
                ),
                first=True,
            ),
        ),
        Mistake(
            "somebody makes room though there is enough.",
            "Ask `manager.allocate_slots` first. Only where it gives None does anybody have to go.",
            wrong(first=True),
        ),
        Mistake(
            "nobody makes room.",
            "That there is no room now is where the work begins: let the last of `running` make room, and ask again.",
            (says_no, lambda request, n, running, waiting, manager: manager.allocate_slots(request, n)),
        ),
        Mistake(
            "blocks are counted instead.",
            "The last block of the request may have room for some of the n tokens. Only "
            "`manager.allocate_slots` knows: ask it again after each one that goes.",
            counts_blocks,
        ),
        Mistake("only one makes room.", "One may not be enough: ask again after each, in a `while`.", wrong(once=True)),
        Mistake(
            "it waits at the end of the line.",
            "It came before all who wait. At the end, newcomers pass it again and again: `waiting.insert(0, victim)`.",
            wrong(place=lambda waiting, victim, before: waiting.append(victim)),
        ),
        Mistake(
            "several stand in the wrong order.",
            "The last goes first, and each next one belongs before it: with "
            "`insert(0, …)` each time, they stand as they ran.",
            wrong(place=lambda waiting, victim, before: waiting.insert(len(waiting) - before, victim)),
        ),
        Mistake(
            "it does not wait.",
            "Who is in neither list is never served again, and its client waits for ever.",
            wrong(place=lambda waiting, victim, before: None),
        ),
        Mistake(
            "its tokens still count as computed.",
            "Their keys and values are gone with the blocks. Going on from there, "
            "it would read those of others: `num_computed_tokens = 0`.",
            wrong(computed=lambda victim: victim.num_computed_tokens),
        ),
        Mistake(
            "only what it wrote is computed again.",
            "All its blocks are gone, those of its prompt too: `num_computed_tokens = 0`.",
            wrong(computed=lambda victim: min(victim.num_prompt_tokens, victim.num_computed_tokens)),
        ),
        Mistake(
            "what it has written is thrown away.",
            "It was sent out already. The tokens stay in `token_ids`, and are "
            "computed again like a prompt, all at once.",
            wrong(text=lambda victim: victim.token_ids[: victim.num_prompt_tokens]),
        ),
        Mistake(
            "new lists are made, and the old ones stay as they were.",
            "`running = running[:-1]` is a list that nobody else sees. "
            "Change the lists themselves: `running.pop()`, `waiting.insert(0, victim)`.",
            new_lists,
        ),
        Mistake(
            "its blocks are not given back.",
            "Taking it off the list frees nothing: `manager.free(victim)`.",
            wrong(frees=False),
        ),
        Mistake(
            "who made room still runs.",
            "It stands in both lists, and would be served twice. `running.pop()` takes it off.",
            wrong(runs_on=True),
        ),
        Mistake(
            "slots are given to a request that made room itself.",
            "It waits now, and holds nothing. Give `None` back at once.",
            wrong(itself="goes on"),
        ),
        Mistake(
            "the only one is thrown out.",
            "Nobody is left whose blocks could help, so it would be thrown out each time it "
            "comes in. Raise `LedgerError` before anything changes.",
            wrong(alone="thrown out"),
        ),
        Mistake(
            "the error comes when the only one was thrown out already.",
            "Whoever catches the error finds a request that lost its "
            "blocks for nothing. Look whether it runs alone before you take it off the list.",
            too_late,
        ),
        Mistake(
            "`None` comes back for a request that runs alone.",
            "`None` says that it waits now, and it does not. That it "
            "finds no room alone is an error: raise `LedgerError`.",
            wrong(alone="None"),
        ),
        Mistake(
            "slots are asked for one token only.",
            "A chunk of a prompt has many: `manager.allocate_slots(request, n)`.",
            wrong(asks=lambda n: 1),
        ),
        Mistake(
            "the slots are asked for twice.",
            "The first call has given them already. Keep its result: `slots = …`, or `while (slots := …) is None`.",
            asks_twice,
        ),
        Mistake(
            "the slots are not returned.",
            "Who called writes keys and values there: `return slots`.",
            wrong(returns=lambda slots: None),
        ),
        Mistake(
            "the number of slots is returned, or whether there are any.",
            "Who called writes keys and values there, and needs the list.",
            (wrong(returns=lambda slots: True), wrong(returns=len)),
        ),
    ],
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
