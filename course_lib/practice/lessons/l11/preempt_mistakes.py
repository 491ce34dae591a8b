"""The mistakes in 11.preempt. Each is the right answer with one part replaced."""

from course_lib.errors import LedgerError
from course_lib.practice.judge.exercise import Mistake

from .solutions.preempt import make_room


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


MISTAKES = [
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
        "It was sent out already. The tokens stay in `token_ids`, and are computed again like a prompt, all at once.",
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
        "`None` says that it waits now, and it does not. That it finds no room alone is an error: raise `LedgerError`.",
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
]
