"""Wrong answers to 11.preempt as people write them; see written_otherwise.py."""

from course_lib.errors import LedgerError


def room(request, n, running, waiting, manager, *, last=-1, front=True, computed=0, give_back=True):
    """A first attempt, which is right. The arguments after `manager` change one thing."""
    slots = manager.allocate_slots(request, n)
    while slots is None:
        if len(running) == 1:
            raise LedgerError("no other request")
        victim = running[last]
        running.remove(victim)
        if give_back:
            manager.free(victim)
        victim.num_computed_tokens = computed if computed is not None else victim.num_computed_tokens
        waiting.insert(0 if front else len(waiting), victim)
        if victim is request:
            return None
        slots = manager.allocate_slots(request, n)
    return slots


def room_oldest(request, n, running, waiting, manager):
    return room(request, n, running, waiting, manager, last=0)


def room_back_of_the_queue(request, n, running, waiting, manager):
    return room(request, n, running, waiting, manager, front=False)


def room_still_computed(request, n, running, waiting, manager):
    return room(request, n, running, waiting, manager, computed=None)


def room_keeps_blocks(request, n, running, waiting, manager):
    return room(request, n, running, waiting, manager, give_back=False)


def room_if(request, n, running, waiting, manager):
    slots = manager.allocate_slots(request, n)
    if slots is None:
        if len(running) < 2:
            raise LedgerError("alone")
        out = running.pop()
        manager.free(out)
        out.num_computed_tokens = 0
        waiting.insert(0, out)
        if out is request:
            return None
        slots = manager.allocate_slots(request, n)
    return slots


def room_itself(request, n, running, waiting, manager):
    slots = manager.allocate_slots(request, n)
    if slots is None:
        if running == [request]:
            raise LedgerError("alone")
        running.remove(request)
        manager.free(request)
        request.num_computed_tokens = 0
        waiting.insert(0, request)
    return slots


def room_begins_again(request, n, running, waiting, manager):
    before = list(running)
    slots = room(request, n, running, waiting, manager)
    for gone in before:
        if gone not in running:
            gone.token_ids = gone.token_ids[: gone.num_prompt_tokens]
    return slots


def room_twice(request, n, running, waiting, manager):
    while manager.allocate_slots(request, n) is None:
        if len(running) == 1:
            raise LedgerError("alone")
        victim = running.pop()
        manager.free(victim)
        victim.num_computed_tokens = 0
        waiting.insert(0, victim)
        if victim is request:
            return None
    return manager.allocate_slots(request, n)


def room_quietly(request, n, running, waiting, manager):
    try:
        return room(request, n, running, waiting, manager)
    except LedgerError:
        return None


def room_new_lists(request, n, running, waiting, manager):
    slots = manager.allocate_slots(request, n)
    while slots is None:
        if len(running) == 1:
            raise LedgerError("alone")
        victim = running[-1]
        running = running[:-1]
        waiting = [victim] + waiting
        manager.free(victim)
        victim.num_computed_tokens = 0
        if victim is request:
            return None
        slots = manager.allocate_slots(request, n)
    return slots


def room_of_others(request, n, running, waiting, manager):
    slots = manager.allocate_slots(request, n)
    while slots is None:
        others = [r for r in running if r is not request]
        if not others:
            raise LedgerError("alone")
        running.remove(others[-1])
        manager.free(others[-1])
        others[-1].num_computed_tokens = 0
        waiting.insert(0, others[-1])
        slots = manager.allocate_slots(request, n)
    return slots


def room_never(request, n, running, waiting, manager):
    slots = manager.allocate_slots(request, n)
    if slots is None:
        raise LedgerError("memory is full")
    return slots


def room_counted(request, n, running, waiting, manager):
    needed = (n + manager.allocator.block_size - 1) // manager.allocator.block_size
    while manager.allocator.num_free < needed:
        if len(running) == 1:
            raise LedgerError("alone")
        victim = running.pop()
        victim.num_computed_tokens = 0
        manager.free(victim)
        waiting.insert(0, victim)
        if victim is request:
            return None
    return manager.allocate_slots(request, n)


def room_sees_too_late(request, n, running, waiting, manager):
    slots = manager.allocate_slots(request, n)
    while slots is None:
        victim = running.pop()
        manager.free(victim)
        victim.num_computed_tokens = 0
        waiting.insert(0, victim)
        if victim is request and not running:
            raise LedgerError("alone")
        if victim is request:
            return None
        slots = manager.allocate_slots(request, n)
    return slots


def room_last_two(request, n, running, waiting, manager):
    """Two at a time, to be safe."""
    slots = manager.allocate_slots(request, n)
    while slots is None:
        if len(running) == 1:
            raise LedgerError("alone")
        for victim in running[-2:]:
            if victim is not request:
                running.remove(victim)
                manager.free(victim)
                victim.num_computed_tokens = 0
                waiting.insert(0, victim)
        slots = manager.allocate_slots(request, n)
    return slots


def room_other_error(request, n, running, waiting, manager):
    try:
        return room(request, n, running, waiting, manager)
    except LedgerError as error:
        raise RuntimeError("no room") from error


def room_frees_again(request, n, running, waiting, manager):
    while (slots := manager.allocate_slots(request, n)) is None:
        if len(running) == 1:
            raise LedgerError("alone")
        victim = running.pop()
        for _ in range(2):
            manager.free(victim)
        victim.num_computed_tokens = 0
        waiting.insert(0, victim)
        if victim is request:
            return None
    return slots


def room_drops_itself(request, n, running, waiting, manager):
    while (slots := manager.allocate_slots(request, n)) is None:
        if len(running) == 1:
            raise LedgerError("alone")
        victim = running.pop()
        manager.free(victim)
        if victim is request:
            return None
        victim.num_computed_tokens = 0
        waiting.insert(0, victim)
    return slots


CASES = {
    "11.preempt": [
        ("first of the running requests", room_oldest),
        ("end of the queue", room_back_of_the_queue),
        ("still count as computed", room_still_computed),
        ("of the preempted request are not freed", room_keeps_blocks),
        ("only one request is preempted", room_if),
        ("the request that needs slots is preempted", room_itself),
        ("of the preempted request are dropped", room_begins_again),
        ("allocated twice", room_twice),
        ("returned for a request that runs alone", room_quietly),
        ("new lists", room_new_lists),
        ("itself is never preempted", room_of_others),
        ("no request is preempted", room_never),
        ("blocks are counted", room_counted),
        ("after the only request was preempted", room_sees_too_late),
        ("itself is never preempted", room_last_two),
        (None, room_other_error),
        ("are freed twice", room_frees_again),
        ("itself does not wait", room_drops_itself),
    ]
}
