"""Wrong answers to 11.fair_share, 11.preempt and 11.swap as people write them; see written_otherwise.py."""

from collections import defaultdict

import torch

from course_lib.errors import LedgerError
from course_lib.practice.fixtures.waiting_list import WaitingList


class Counting(WaitingList):
    """What most begin with: right but for what is written below."""

    def __init__(self):
        super().__init__()
        self.counters = defaultdict(int)

    def lowest(self):
        if not self.waiting:
            return self.counters[self.last_client]
        return sorted(self.counters[r.client] for r in self.waiting)[0]

    def push(self, request, *, returning=False):
        if not returning and request.client not in [r.client for r in self.waiting]:
            if self.lowest() > self.counters[request.client]:
                self.counters[request.client] = self.lowest()
        super().push(request, returning=returning)

    def peek(self):
        if not self.waiting:
            return None
        return sorted(self.waiting, key=lambda r: self.counters[r.client])[0]

    def charge(self, request, prompt_tokens=0, output_tokens=0):
        self.counters[request.client] = self.counters[request.client] + prompt_tokens + output_tokens + output_tokens


class NoCounters(Counting):
    def peek(self):
        for request in self.waiting:
            return request


class MostFirst(Counting):
    def peek(self):
        best = None
        for r in self.waiting:
            if best is None or self.counters[r.client] > self.counters[best.client]:
                best = r
        return best


class LaterOfEquals(Counting):
    def peek(self):
        best = None
        for r in self.waiting:
            if best is None or self.counters[r.client] <= self.counters[best.client]:
                best = r
        return best


class Takes(Counting):
    def peek(self):
        if self.waiting:
            self.waiting.sort(key=lambda r: self.counters[r.client])
            return self.waiting.pop(0)


class OneForEach(Counting):
    def charge(self, request, *, prompt_tokens=0, output_tokens=0):
        self.counters[request.client] += prompt_tokens + output_tokens


class CountsCalls(Counting):
    def charge(self, request, *, prompt_tokens=0, output_tokens=0):
        if prompt_tokens:
            self.counters[request.client] += 1


class LiftsTooLate(Counting):
    def push(self, request, *, returning=False):
        self.waiting.append(request)
        self.waiting.sort(key=lambda r: r.arrival)
        if not returning:
            low = min(self.counters[r.client] for r in self.waiting)
            self.counters[request.client] = max(low, self.counters[request.client])


class FromNothing(Counting):
    def lowest(self):
        return min([self.counters[r.client] for r in self.waiting], default=0)


class ToTheTop(Counting):
    def lowest(self):
        return max(self.counters[r.client] for r in self.waiting) if self.waiting else self.counters[self.last_client]


class StartsOver(Counting):
    def push(self, request, *, returning=False):
        if not returning and request.client not in {r.client for r in self.waiting}:
            self.counters[request.client] = self.lowest()
        WaitingList.push(self, request)


class EveryPush(Counting):
    def push(self, request, *, returning=False):
        self.counters[request.client] = max(self.counters[request.client], self.lowest())
        WaitingList.push(self, request)


class ToTheMean(Counting):
    def lowest(self):
        values = [self.counters[r.client] for r in self.waiting] or [self.counters[self.last_client]]
        return sum(values) / len(values)


class ForgetsTheList(Counting):
    def push(self, request, *, returning=False):
        if request.client not in [r.client for r in self.waiting]:
            self.counters[request.client] = max(self.counters[request.client], self.lowest())


class CountsNothing(Counting):
    def charge(self, request, *, prompt_tokens=0, output_tokens=0):
        pass


class SortsTheList(Counting):
    def peek(self):
        self.waiting.sort(key=lambda r: self.counters[r.client])
        return self.waiting[0] if self.waiting else None


class AddsTheLowest(Counting):
    def push(self, request, *, returning=False):
        if not returning and request.client not in [r.client for r in self.waiting]:
            self.counters[request.client] += self.lowest()
        WaitingList.push(self, request)


class PopsItself(Counting):
    """Right: it needs no `remove` for it."""

    def pop(self):
        request = self.peek()
        del self.waiting[self.waiting.index(request)]
        self.last_client = request.client
        return request


def room(request, n, running, waiting, manager, *, last=-1, front=True, computed=0, give_back=True):
    """Right as it stands, in the way of a first attempt."""
    slots = manager.allocate_slots(request, n)
    while slots is None:
        if len(running) == 1:
            raise LedgerError("nobody else")
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


def room_back_of_the_line(request, n, running, waiting, manager):
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


def room_for_nobody(request, n, running, waiting, manager):
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


class Space:
    """Right as it stands, in the way of a first attempt."""

    def __init__(self, k, v):
        self.k, self.v, self.saved = k, v, {}

    def swap_out(self, request, block_ids):
        k = torch.cat([self.k[:, b] for b in block_ids], dim=1)[:, : request.num_computed_tokens]
        v = torch.cat([self.v[:, b] for b in block_ids], dim=1)[:, : request.num_computed_tokens]
        self.saved[request.request_id] = (k, v)

    def swap_in(self, request, start, slots):
        k, v = self.saved.pop(request.request_id)
        size = self.k.shape[2]
        for i, slot in enumerate(slots):
            self.k[:, slot // size, slot % size] = k[:, start + i]
            self.v[:, slot // size, slot % size] = v[:, start + i]

    def run(self, step, compute):
        for pair in step.swapped_out:
            self.swap_out(*pair)
        for triple in step.swapped_in:
            self.swap_in(*triple)
        return compute()


class ComputesFirst(Space):
    def run(self, step, compute):
        result = compute()
        super().run(step, lambda: None)
        return result


class InFirst(Space):
    def run(self, step, compute):
        for request, start, slots in step.swapped_in:
            self.swap_in(request, start, slots)
        for request, block_ids in step.swapped_out:
            self.swap_out(request, block_ids)
        return compute()


class BackLater(Space):
    def run(self, step, compute):
        for request, block_ids in step.swapped_out:
            self.swap_out(request, block_ids)
        result = compute()
        for request, start, slots in step.swapped_in:
            self.swap_in(request, start, slots)
        return result


class KeepsViews(Space):
    def swap_out(self, request, block_ids):
        size = self.k.shape[2]
        at = [(block_ids[p // size], p % size) for p in range(request.num_computed_tokens)]
        self.saved[request.request_id] = [self.k[:, b, o] for b, o in at], [self.v[:, b, o] for b, o in at]

    def swap_in(self, request, start, slots):
        k, v = self.saved.pop(request.request_id)
        self.saved[request.request_id] = torch.stack(k, 1), torch.stack(v, 1)
        super().swap_in(request, start, slots)


class KeysOnly(Space):
    def swap_in(self, request, start, slots):
        v = self.v.clone()
        super().swap_in(request, start, slots)
        self.v[:] = v


class FirstLayer(Space):
    def swap_in(self, request, start, slots):
        k, v = self.k.clone(), self.v.clone()
        super().swap_in(request, start, slots)
        self.k[1:], self.v[1:] = k[1:], v[1:]


class FromTheFirst(Space):
    def swap_in(self, request, start, slots):
        super().swap_in(request, 0, slots)


class KeepsAll(Space):
    def swap_in(self, request, start, slots):
        kept = self.saved[request.request_id]
        super().swap_in(request, start, slots)
        self.saved[request.request_id] = kept


class ForgetsTheTokens(Space):
    def run(self, step, compute):
        super().run(step, compute)


class Sorts(Space):
    def swap_out(self, request, block_ids):
        block_ids.sort()
        super().swap_out(request, block_ids)


class OldPlaces(Space):
    def swap_out(self, request, block_ids):
        super().swap_out(request, block_ids)
        size = self.k.shape[2]
        self.places = {
            **getattr(self, "places", {}),
            request.request_id: [b * size + o for b in block_ids for o in range(size)],
        }

    def swap_in(self, request, start, slots):
        super().swap_in(request, start, self.places[request.request_id][start : start + len(slots)])


class WritesNothing(Space):
    def swap_in(self, request, start, slots):
        pass


class HasCopies(Space):
    def __init__(self, k, v):
        super().__init__(k.clone(), v.clone())


class CutsTheSlots(Space):
    def swap_in(self, request, start, slots):
        k, v = self.saved.pop(request.request_id)
        self.k.flatten(1, 2)[:, slots[start:]] = k[:, start:]
        self.v.flatten(1, 2)[:, slots[start:]] = v[:, start:]


class MovesOrComputes(Space):
    def run(self, step, compute):
        if not step.swapped_out and not step.swapped_in:
            return compute()
        super().run(step, lambda: None)


class BlocksOnly(Space):
    """Whole blocks go and come, and every block is thought to come back."""

    def swap_out(self, request, block_ids):
        self.saved[request.request_id] = self.k[:, block_ids], self.v[:, block_ids]

    def swap_in(self, request, start, slots):
        k, v = self.saved.pop(request.request_id)
        blocks = list(dict.fromkeys(slot // self.k.shape[2] for slot in slots))
        self.k[:, blocks], self.v[:, blocks] = k, v


CASES = {
    "11.fair_share": [
        ("first come, first served", NoCounters),
        ("served most goes first", MostFirst),
        ("equals go by something else", LaterOfEquals),
        ("takes the request off", Takes),
        ("as much as a prompt token", OneForEach),
        ("requests are counted", CountsCalls),
        ("comes back is not lifted", LiftsTooLate),
        ("when nobody waits", FromNothing),
        ("lifted to the highest", ToTheTop),
        ("counter is lowered", StartsOver),
        ("make room is lifted", EveryPush),
        (None, ToTheMean),
        ("does not join", ForgetsTheList),
        ("first come, first served", CountsNothing),
        ("into another order", SortsTheList),
        ("is added to its own", AddsTheLowest),
    ],
    "11.preempt": [
        ("first of the running", room_oldest),
        ("end of the line", room_back_of_the_line),
        ("still count as computed", room_still_computed),
        ("blocks are not given back", room_keeps_blocks),
        ("only one makes room", room_if),
        ("who needs room is the one", room_itself),
        ("what it has written is thrown away", room_begins_again),
        ("asked for twice", room_twice),
        ("for a request that runs alone", room_quietly),
        ("new lists", room_new_lists),
        ("itself is passed over", room_of_others),
        ("nobody makes room", room_for_nobody),
        ("blocks are counted", room_counted),
        ("thrown out already", room_sees_too_late),
        ("itself is passed over", room_last_two),
        (None, room_other_error),
    ],
    "11.swap": [
        ("computed before what makes room", ComputesFirst),
        ("before who goes is kept", InFirst),
        ("after the step was computed", BackLater),
        ("still the engine's memory", KeepsViews),
        ("keys only", KeysOnly),
        ("one layer", FirstLayer),
        ("`start` is not looked at", FromTheFirst),
        ("still kept", KeepsAll),
        ("returns is lost", ForgetsTheTokens),
        ("put in order", Sorts),
        ("old blocks", OldPlaces),
        (None, BlocksOnly),
        ("nothing is written", WritesNothing),
        ("into a copy", HasCopies),
        ("cut at `start` too", CutsTheSlots),
        ("is not called", MovesOrComputes),
    ],
}
