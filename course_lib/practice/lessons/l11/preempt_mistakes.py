"""The mistakes in 11.preempt. Each is the right answer with one part replaced."""

from course_lib.errors import LedgerError
from course_lib.practice.judge.exercise import Mistake

from .solutions.preempt import make_room


def wrong(
    victim=lambda running, request: running[-1],
    place=lambda waiting, victim, before: waiting.insert(0, victim),
    computed=lambda victim: 0,
    kept=lambda victim: victim.token_ids,
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
    """A wrong answer: make_room with one part replaced."""

    def make_room(request, n, running, waiting, manager):
        slots, before = None if first else manager.allocate_slots(request, asks(n)), len(waiting)
        while not enough(slots, running, request):
            if len(running) == 1 and alone != "preempted":
                if alone == "raises":
                    raise LedgerError("alone")
                return None
            chosen = victim(running, request)
            if not runs_on:
                running.remove(chosen)
            for _ in range(frees):
                manager.free(chosen)
            if chosen is request and itself == "bare":
                return None
            chosen.num_computed_tokens = computed(chosen)
            chosen.token_ids[:] = kept(chosen)
            place(waiting, chosen, before)
            if chosen is request and itself == "none":
                return None
            slots = manager.allocate_slots(request, asks(n)) if slots is None else slots
            if once:
                break
        return returns(slots)

    return make_room


def new_lists(request, n, running, waiting, manager):
    """Right, except that it changes copies of the lists."""
    return make_room(request, n, running[:], waiting[:], manager)


def never_preempts(request, n, running, waiting, manager):
    """Raises where memory is short."""
    if (slots := manager.allocate_slots(request, n)) is None:
        raise LedgerError("no free blocks")
    return slots


def raises_for_the_last(request, n, running, waiting, manager):
    """Takes the last of the running requests for one that runs alone."""
    if running[-1] is not request:
        return make_room(request, n, running, waiting, manager)
    if (slots := manager.allocate_slots(request, n)) is None:
        raise LedgerError("alone")
    return slots


def too_late(request, n, running, waiting, manager):
    """Notices that the request ran alone after it was preempted."""
    alone = running == [request]
    slots = wrong(alone="preempted")(request, n, running, waiting, manager)
    if slots is None and alone:
        raise LedgerError("alone")
    return slots


def counts_blocks(request, n, running, waiting, manager):
    """Compares the number of free blocks with n tokens, as if all of them needed new blocks."""
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
    """Allocates once to see whether there is room, and then again for the slots."""
    return make_room(request, n, running, waiting, manager) and manager.allocate_slots(request, n)


MISTAKES = [
    Mistake(
        "the first of the running requests is preempted.",
        "It has computed the most tokens, and it may have its slots for this step already. The first request must "
        "always go on, or two may preempt each other for ever. Preempt the last one: `running.pop()`.",
        wrong(victim=lambda running, request: running[0]),
    ),
    Mistake(
        "the request that needs slots is preempted.",
        "It may be the first of all, and then no request goes on. Preempt the last of `running`, which may be the "
        "request itself.",
        wrong(victim=lambda running, request: request),
    ),
    Mistake(
        "the request itself is never preempted.",
        "If it is the last one, it is preempted: all others arrived earlier, and may have their slots for this "
        "step already. Preempt the last of `running` in every case.",
        wrong(victim=lambda running, request: [one for one in running if one is not request][-1]),
    ),
    Mistake(
        "the largest request is preempted.",
        "This frees most blocks, but most tokens must be computed again, and a long request may never end. "
        "Preempt the last one.",
        (
            wrong(victim=lambda running, request: max(running, key=lambda one: one.num_tokens)),
            wrong(victim=lambda running, request: max(running[::-1], key=lambda one: one.num_tokens)),
        ),
    ),
    Mistake(
        "the smallest request is preempted.",
        "It may free too few blocks, and it may be the first. Preempt the last one.",
        wrong(victim=lambda running, request: min(running, key=lambda one: one.num_tokens)),
    ),
    Mistake(
        "all requests that can be preempted are preempted.",
        "Each of them is computed a second time. Call `manager.allocate_slots` again after each preemption.",
        wrong(
            enough=lambda slots, running, request: (
                slots is not None and running[-1] is request or len(running) == 1 and slots is not None
            ),
            first=True,
        ),
    ),
    Mistake(
        "a request is preempted although there are enough blocks.",
        "Call `manager.allocate_slots` first. Only where it returns None must a request be preempted.",
        wrong(first=True),
    ),
    Mistake(
        "no request is preempted.",
        "Where there are no slots, preempt the last of `running`, and call `manager.allocate_slots` again.",
        (never_preempts, lambda request, n, running, waiting, manager: manager.allocate_slots(request, n)),
    ),
    Mistake(
        "free blocks are counted instead.",
        "The last block of the request may have free slots for some of the n tokens. Only "
        "`manager.allocate_slots` knows: call it again after each preemption.",
        counts_blocks,
    ),
    Mistake(
        "only one request is preempted.",
        "One preemption may not be enough: call `manager.allocate_slots` again after each, in a `while`.",
        wrong(once=True),
    ),
    Mistake(
        "the preempted request waits at the end of the queue.",
        "It arrived before all waiting requests. At the end, new requests overtake it again and again: "
        "`waiting.insert(0, victim)`.",
        wrong(place=lambda waiting, victim, before: waiting.append(victim)),
    ),
    Mistake(
        "several preempted requests wait in the wrong order.",
        "The last request is preempted first, and each next one belongs before it: with `insert(0, …)` each time, "
        "they wait in the order in which they ran.",
        wrong(place=lambda waiting, victim, before: waiting.insert(len(waiting) - before, victim)),
    ),
    Mistake(
        "the preempted request is not added to `waiting`.",
        "A request that is in neither list is never served again, and its client waits for ever.",
        wrong(place=lambda waiting, victim, before: None),
    ),
    Mistake(
        "the tokens of the preempted request still count as computed.",
        "Their keys and values are lost with the blocks. If it goes on from there, it reads those of other "
        "requests: `num_computed_tokens = 0`.",
        wrong(computed=lambda victim: victim.num_computed_tokens),
    ),
    Mistake(
        "only the output tokens of the preempted request are computed again.",
        "All its blocks are freed, those of its prompt too: `num_computed_tokens = 0`.",
        wrong(computed=lambda victim: min(victim.num_prompt_tokens, victim.num_computed_tokens)),
    ),
    Mistake(
        "the output tokens of the preempted request are dropped.",
        "They were sent to the client already. They stay in `token_ids`, and are computed again like a prompt, "
        "all at once.",
        wrong(kept=lambda victim: victim.token_ids[: victim.num_prompt_tokens]),
    ),
    Mistake(
        "new lists are made, and the given ones are not changed.",
        "`running = running[:-1]` is a new list that the caller does not see. Change the lists themselves: "
        "`running.pop()`, `waiting.insert(0, victim)`.",
        new_lists,
    ),
    Mistake(
        "the blocks of the preempted request are not freed.",
        "Removing it from the list frees no block: `manager.free(victim)`.",
        wrong(frees=False),
    ),
    Mistake(
        "the blocks of the preempted request are freed twice.",
        "After the first call it holds none, and the ledger refuses the second: call `manager.free(victim)` once.",
        wrong(frees=2),
    ),
    Mistake(
        "a request that is preempted itself does not wait.",
        "It is preempted like the others: `num_computed_tokens = 0`, and it is the first of `waiting`.",
        wrong(itself="bare"),
    ),
    Mistake(
        "a preempted request still runs.",
        "It is in both lists, and would be served twice. `running.pop()` removes it.",
        wrong(runs_on=True),
    ),
    Mistake(
        "slots are allocated for a request that was preempted itself.",
        "It waits now, and holds no blocks. Return `None` at once.",
        wrong(itself="goes on"),
    ),
    Mistake(
        "a request that runs alone is preempted.",
        "There is no other request whose blocks could be freed, so it would be preempted each time it is "
        "admitted. Raise `LedgerError` before anything changes.",
        wrong(alone="preempted"),
    ),
    Mistake(
        "the error is raised after the only request was preempted.",
        "The caller that catches the error finds a request that lost its blocks without need. Check whether it "
        "runs alone before you remove it.",
        too_late,
    ),
    Mistake(
        "`LedgerError` is raised although other requests run.",
        "The last of `running` is preempted also if it is the request itself: return None, and it waits. Raise the "
        "error only where `running` has one request from the start.",
        raises_for_the_last,
    ),
    Mistake(
        "`None` is returned for a request that runs alone.",
        "`None` means that it waits now, and it does not. A request that runs alone and gets no slots is an "
        "error: raise `LedgerError`.",
        wrong(alone="None"),
    ),
    Mistake(
        "slots are allocated for one token only.",
        "A chunk of a prompt has many tokens: `manager.allocate_slots(request, n)`.",
        wrong(asks=lambda n: 1),
    ),
    Mistake(
        "the slots are allocated twice.",
        "The first call has allocated them already. Keep its result: `slots = …`, or `while (slots := …) is None`.",
        asks_twice,
    ),
    Mistake(
        "the slots are not returned.",
        "The caller writes keys and values there: `return slots`.",
        wrong(returns=lambda slots: None),
    ),
    Mistake(
        "the number of slots is returned, or whether there are any.",
        "The caller writes keys and values there, and needs the list.",
        (wrong(returns=lambda slots: True), wrong(returns=len)),
    ),
]
