"""Wrong answers to 10.continuous_loop as people write them; see written_otherwise.py."""

import torch

from course_lib.decoding import generate_naive
from course_lib.kvcache import BlockTable
from course_lib.practice.lessons.l10.continuous_loop_answers import ContinuousLoop
from course_lib.practice.lessons.l10.step import step
from course_lib.practice.lessons.l10.stop_conditions import stop_conditions


class ServesInTurn:
    """One request after the other, each to its end."""

    def __init__(self, model, cache, max_num_seqs):
        self.model, self.queue = model, []

    def add_request(self, request):
        self.queue.append((request, generate_naive(self.model, request.token_ids, request.params)))

    def has_unfinished(self):
        return bool(self.queue)

    def abort(self, request_id):
        self.queue = [one for one in self.queue if one[0].request_id != request_id]

    def step(self):
        request, tokens = self.queue[0]
        token = tokens.pop(0)
        if not tokens:
            self.queue.pop(0)
        return [(request.request_id, token, None if tokens else "length")]


class StaticServer(ContinuousLoop):
    def step(self):
        outside = []
        if self.running:
            outside, self.waiting = self.waiting, []
        said = super().step()
        self.waiting += outside
        return said


class Leaky(ContinuousLoop):
    """Takes a block for each request that ends, and never frees it."""

    def step(self):
        held = {name: table for name, table in self.tables.items()}
        said = super().step()
        for name, _, reason in said:
            if reason and name in held:
                self.cache.allocator.allocate(len(range(0, 1)))
        return said


class ForgetsAborts(ContinuousLoop):
    def abort(self, request_id):
        self.running = [r for r in self.running if r.request_id != request_id]
        self.waiting = [r for r in self.waiting if r.request_id != request_id]

    def step(self):
        said = super().step()
        for name, _, reason in said:
            if reason:
                self.tables.pop(name).free()
        return said


class OwnCalls(ContinuousLoop):
    """A call of the model for each request."""

    def step(self):
        plan = step(
            self.waiting,
            self.running,
            self.cache.allocator.num_blocks,
            self.cache.allocator.block_size,
            self.max_num_seqs,
        )
        said = []
        for r, n in plan:
            if r in self.waiting:
                self.waiting.remove(r)
                self.running.append(r)
                self.tables[r.request_id] = BlockTable(self.cache.allocator)
            self.tables[r.request_id].append_slots(n)
            positions = self.cache.begin_step([self.tables[r.request_id]], [n])
            row = self.model(torch.tensor(r.token_ids[-n:]), positions, self.cache)[-1]
            r.num_computed_tokens += n
            r.token_ids.append(row.argmax().item())
            reason = stop_conditions(r, self.model.config.eos_token_ids, "")[0]
            if reason:
                self.abort(r.request_id)
            said.append((r.request_id, r.token_ids[-1], reason))
        return said


class NeverAsksEnd(ContinuousLoop):
    def step(self):
        held = self.model.config
        self.model.config = type(held)(**{**held.__dict__, "eos_token_ids": ()})
        said = super().step()
        self.model.config = held
        return said


class Silent(ContinuousLoop):
    def step(self):
        super().step()


class Impatient(ContinuousLoop):
    def has_unfinished(self):
        return len(self.running) > 0


class ForAll(ContinuousLoop):
    """The lists in the body of the class, and emptied by each new server."""

    waiting, running, tables = [], [], {}

    def __init__(self, model, cache, max_num_seqs):
        self.model, self.cache, self.max_num_seqs = model, cache, max_num_seqs
        for many in (self.waiting, self.running, self.tables):
            many.clear()

    def abort(self, request_id):
        for many in (self.waiting, self.running):
            many[:] = [r for r in many if r.request_id != request_id]
        if request_id in self.tables:
            self.tables.pop(request_id).free()


class EndsAnyway(ContinuousLoop):
    def step(self):
        said = super().step()
        for at, (name, token, reason) in enumerate(said):
            if not reason and token in self.model.config.eos_token_ids:
                self.abort(name)
            said[at] = name, token, "stop" if token in self.model.config.eos_token_ids else reason
        return said


class NeverIdle(ContinuousLoop):
    """Takes the maximum of a step's counts, also where there are none."""

    def step(self):
        max(n for _, n in step(self.waiting, self.running, 99, 4, self.max_num_seqs))
        return super().step()


class CommonTables(ContinuousLoop):
    """One dict of block tables for all servers."""

    held = {}

    def __init__(self, *given):
        super().__init__(*given)
        self.tables = self.held


class CountsLater(ContinuousLoop):
    """Forgets to count, and takes what is new from the block table."""

    def step(self):
        computed = {r.request_id: r.num_computed_tokens for r in (*self.running, *self.waiting)}
        requests = {r.request_id: r for r in (*self.running, *self.waiting)}
        said = super().step()
        for name, _, _ in said:
            requests[name].num_computed_tokens = computed[name]
        return said


class FreesNextTime(ContinuousLoop):
    """Cleans up at the beginning of a step."""

    def __init__(self, *given):
        super().__init__(*given)
        self.over = []

    def abort(self, request_id):
        if getattr(self, "inside", False):
            self.over.append(request_id)
        else:
            super().abort(request_id)

    def step(self):
        for name in self.over:
            super().abort(name)
        self.over, self.inside = [], True
        try:
            return super().step()
        finally:
            self.inside = False


class NobodyWaits(ContinuousLoop):
    def has_unfinished(self):
        return len(self.waiting) > 0


class AbortsInStep(ContinuousLoop):
    """Keeps a set of the aborted ones, and looks into it in each step."""

    def __init__(self, *given):
        super().__init__(*given)
        self.aborted = set()

    def abort(self, request_id):
        if getattr(self, "inside", False):
            super().abort(request_id)
        else:
            self.aborted.add(request_id)

    def step(self):
        for name in self.aborted:
            super().abort(name)
        self.aborted, self.inside = set(), True
        try:
            return super().step()
        finally:
            self.inside = False


class TellsOfAborts(ContinuousLoop):
    """A last triple for each request that was aborted."""

    def __init__(self, *given):
        super().__init__(*given)
        self.gone = []

    def abort(self, request_id):
        self.gone += [(r.request_id, r.token_ids[-1], "abort") for r in self.waiting if r.request_id == request_id]
        super().abort(request_id)

    def step(self):
        gone, self.gone = self.gone, []
        return super().step() + gone


CASES = {
    "10.continuous_loop": [
        ("does not get its tokens", ServesInTurn),
        ("whole batch is done", StaticServer),
        (None, Leaky),
        ("aborted request are not freed", ForgetsAborts),
        ("once for each request", OwnCalls),
        ("end token is not checked", NeverAsksEnd),
        ("returns nothing", Silent),
        ("does not count waiting requests", Impatient),
        ("share one list", ForAll),
        ("`ignore_eos`", EndsAnyway),
        (None, NeverIdle),
        ("share one list", CommonTables),
        ("stays as it was", CountsLater),
        ("one step late", FreesNextTime),
        ("does not count running requests", NobodyWaits),
        (None, TellsOfAborts),
        ("in the next step only", AbortsInStep),
    ]
}
