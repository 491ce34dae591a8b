"""Wrong answers to 10.continuous_loop: the loop in parts, and one of them replaced."""

import torch

from course_lib.kvcache import BlockTable

from .solutions.continuous_loop import ContinuousLoop
from .solutions.pack import pack
from .solutions.step import step
from .solutions.stop_conditions import stop_conditions


class Parts(ContinuousLoop):
    """The right loop in parts. A wrong answer replaces one of them."""

    rests = True

    def step(self):
        allocator = self.cache.allocator
        scheduled = self.choose(
            self.waiting, self.running, allocator.num_blocks, allocator.block_size, self.max_num_seqs
        )
        if not scheduled and self.rests:
            return []
        for request, n in scheduled:
            if request in self.waiting:
                self.waiting.remove(request)
                self.running.append(request)
                self.tables[request.request_id] = BlockTable(allocator)
            self.tables[request.request_id].append_slots(self.slots(request, n))
        outputs = []
        for (request, n), token in zip(scheduled, self.push(scheduled)):
            self.count(request, n)
            self.append(request, token)
            reason = self.over(request)
            if reason:
                self.leave(request)
            outputs.append((request.request_id, token, reason))
        return self.told(outputs)

    def told(self, outputs):
        return outputs

    def slots(self, request, n):
        return n

    def choose(self, *given):
        return step(*given)

    def count(self, request, n):
        request.num_computed_tokens += n

    def append(self, request, token):
        request.token_ids.append(token)

    def push(self, scheduled):
        tables = [self.tables[request.request_id] for request, _ in scheduled]
        positions = self.cache.begin_step(self.tables_of(tables), [n for _, n in scheduled])
        flat = torch.tensor(pack(scheduled)["token_ids"])
        logits = self.model(flat, self.positions(positions, scheduled), self.cache)[self.rows(scheduled)]
        return self.rounded(logits).argmax(1).tolist()

    def rounded(self, logits):
        return logits

    def tables_of(self, tables):
        return tables

    def positions(self, positions, scheduled):
        return positions

    def rows(self, scheduled):
        return [end - 1 for end in pack(scheduled)["cu_seqlens_q"][1:]]

    def over(self, request):
        return stop_conditions(request, self.model.config.eos_token_ids, "")[0]

    def leave(self, request):
        ContinuousLoop.abort(self, request.request_id)


class JoinsWhenEmpty(Parts):
    def choose(self, waiting, running, *others):
        return step([] if running else waiting, running, *others)


class Pauses(Parts):
    def choose(self, waiting, running, *others):
        chosen = step(waiting, running, *others)
        new = [pair for pair in chosen if pair[0] in waiting]
        return new or chosen


class LeavesTogether(Parts):
    """A request that has ended stays in the batch until all have ended."""

    def __init__(self, *given):
        super().__init__(*given)
        self.done = []

    def choose(self, waiting, running, num_blocks, block_size, max_num_seqs):
        chosen = step(waiting, running, num_blocks, block_size, max_num_seqs)
        return [(request, n) for request, n in chosen if request not in self.done]

    def leave(self, request):
        self.done.append(request)
        if len(self.done) == len(self.running):
            for one in self.done:
                super().leave(one)
            self.done = []

    def abort(self, request_id):
        super().abort(request_id)
        if self.running and len(self.done) == len(self.running):
            self.leave(self.done.pop())


class LeavesLate(Parts):
    """A request that has ended is removed at the beginning of the step after the next."""

    def __init__(self, *given):
        super().__init__(*given)
        self.done = []

    def choose(self, waiting, running, *others):
        leaving, self.done = self.done, []
        chosen = [(request, n) for request, n in step(waiting, running, *others) if request not in leaving]
        for request in leaving:
            super().leave(request)
        return chosen

    def leave(self, request):
        self.done.append(request)

    def has_unfinished(self):
        return len(self.waiting) + len(self.running) > len(self.done)


class LeavesNext(Parts):
    """A request that has ended is removed at the beginning of the next step."""

    def __init__(self, *given):
        super().__init__(*given)
        self.done = []

    def choose(self, waiting, running, *others):
        for request in self.done:
            super().leave(request)
        self.done = []
        return step(self.waiting, self.running, *others)

    def leave(self, request):
        self.done.append(request)


class NeverCounts(Parts):
    def count(self, request, n):
        pass


class CountsOne(Parts):
    def count(self, request, n):
        request.num_computed_tokens += 1


class NeverRests(Parts):
    rests = False


class NeverAppends(Parts):
    def append(self, request, token):
        pass


class NeverFrees(Parts):
    def leave(self, request):
        self.running.remove(request)


class KeepsAborted(Parts):
    def abort(self, request_id):
        self.waiting = [r for r in self.waiting if r.request_id != request_id]
        self.running = [r for r in self.running if r.request_id != request_id]


class AbortsLater(Parts):
    """Notes the request, and ends it at the beginning of the next step."""

    def __init__(self, *given):
        super().__init__(*given)
        self.noted = []

    def abort(self, request_id):
        self.noted.append(request_id)

    def step(self):
        for request_id in self.noted:
            ContinuousLoop.abort(self, request_id)
        self.noted = []
        return super().step()


class AbortsWaiting(Parts):
    def abort(self, request_id):
        self.waiting = [r for r in self.waiting if r.request_id != request_id]


class AbortsRunning(Parts):
    def abort(self, request_id):
        if any(r.request_id == request_id for r in self.running):
            super().abort(request_id)


class OneByOne(Parts):
    def push(self, scheduled):
        return [super(OneByOne, self).push([pair])[0] for pair in scheduled]


class CountsThrough(Parts):
    def positions(self, positions, scheduled):
        return torch.arange(len(positions))


class FromZero(Parts):
    def positions(self, positions, scheduled):
        return torch.cat([torch.arange(n) for _, n in scheduled])


class FirstRows(Parts):
    def rows(self, scheduled):
        return pack(scheduled)["cu_seqlens_q"][:-1]


class RowOfRequest(Parts):
    def rows(self, scheduled):
        return list(range(len(scheduled)))


class OtherTables(Parts):
    """The chosen tokens in reverse order."""

    def push(self, scheduled):
        back = super().push(scheduled)
        return back[::-1]


class SortedTables(Parts):
    def tables_of(self, tables):
        return [self.tables[name] for name in sorted(self.tables)]


class NeverIgnores(Parts):
    def over(self, request):
        return "stop" if request.token_ids[-1] in self.model.config.eos_token_ids else super().over(request)


class NoEnd(Parts):
    def over(self, request):
        return "length" if len(request.output_ids) >= request.params.max_tokens else None


class PromptCounts(Parts):
    def over(self, request):
        return (
            "length"
            if request.num_tokens >= request.params.max_tokens
            else stop_conditions(request, self.model.config.eos_token_ids, "")[0]
        )


class OneMore(Parts):
    def over(self, request):
        reason = stop_conditions(request, self.model.config.eos_token_ids, "")[0]
        return None if reason == "length" and len(request.output_ids) == request.params.max_tokens else reason


class Crowded(Parts):
    def choose(self, waiting, running, num_blocks, block_size, max_num_seqs):
        return step(waiting, running, 10**6, block_size, max_num_seqs)


class CountsFree(Parts):
    def choose(self, waiting, running, num_blocks, *others):
        return step(waiting, running, self.cache.allocator.num_free, *others)


class OnlyRunning(Parts):
    def has_unfinished(self):
        return bool(self.running)


class OnlyWaiting(Parts):
    def has_unfinished(self):
        return bool(self.waiting)


class NoLimit(Parts):
    def choose(self, waiting, running, num_blocks, block_size, max_num_seqs):
        return step(waiting, running, num_blocks, block_size, 10**6)
