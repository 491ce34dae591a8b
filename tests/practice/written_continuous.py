"""Wrong answers for lesson 10 as people write them; see written_otherwise.py."""

import torch

from course_lib.decoding import generate_naive
from course_lib.kvcache import BlockTable
from course_lib.practice.lessons.l10.continuous_loop_answers import ContinuousLoop
from course_lib.practice.lessons.l10.pack import pack
from course_lib.practice.lessons.l10.step import step
from course_lib.practice.lessons.l10.stop_conditions import stop_conditions


def pack_all_at_once(scheduled):
    """Forgets n."""
    ids, positions, cu, lens, rows = [], [], [0], [], []
    for r, n in scheduled:
        ids.extend(r.token_ids[r.num_computed_tokens :])
        positions.extend(range(r.num_computed_tokens, r.num_computed_tokens + n))
        cu.append(cu[-1] + n)
        lens.append(r.num_computed_tokens + n)
        if lens[-1] == r.num_tokens:
            rows.append(cu[-1] - 1)
    return {"token_ids": ids, "positions": positions, "cu_seqlens_q": cu, "seq_lens": lens, "logits_for": rows}


def pack_prompt_or_decode(scheduled):
    """Positions from 0 for whatever is in the step."""
    return {**pack(scheduled), "positions": [i for _, n in scheduled for i in range(n)]}


def pack_arange(scheduled):
    return {**pack(scheduled), "positions": torch.arange(sum(n for _, n in scheduled))}


def pack_no_zero(scheduled):
    total, edges = 0, []
    for _, n in scheduled:
        total += n
        edges.append(total)
    return {**pack(scheduled), "cu_seqlens_q": edges}


def pack_lengths(scheduled):
    return {**pack(scheduled), "seq_lens": [r.num_tokens for r, n in scheduled]}


def pack_last_rows(scheduled):
    made = pack(scheduled)
    return {**made, "logits_for": [end - 1 for end in made["cu_seqlens_q"][1:]]}


def pack_shows(scheduled):
    print(pack(scheduled))


def pack_tuple(scheduled):
    return tuple(pack(scheduled).values())


def pack_padded(scheduled):
    """A rectangle, as in static batching."""
    most = max(n for _, n in scheduled)
    made = pack(scheduled)
    made["token_ids"] = [
        t
        for r, n in scheduled
        for t in (r.token_ids[r.num_computed_tokens : r.num_computed_tokens + n] + [0] * most)[:most]
    ]
    return made


def pack_counts(scheduled):
    made = pack(scheduled)
    for r, n in scheduled:
        r.num_computed_tokens = r.num_computed_tokens + n
    return made


def pack_slices_to_n(scheduled):
    return {**pack(scheduled), "token_ids": [t for r, n in scheduled for t in r.token_ids[r.num_computed_tokens : n]]}


def pack_rows(scheduled):
    """append, where += was meant."""
    rows = []
    for r, n in scheduled:
        rows.append(r.token_ids[r.num_computed_tokens :][:n])
    return {**pack(scheduled), "token_ids": rows}


def pack_prompts_end(scheduled):
    """A request is ready as soon as its prompt is computed."""
    ends, at = [], -1
    for r, n in scheduled:
        at += n
        if r.num_computed_tokens + n >= r.num_prompt_tokens:
            ends.append(at)
    return {**pack(scheduled), "logits_for": ends}


def pack_writers(scheduled):
    made = pack(scheduled)
    return {**made, "logits_for": [end - 1 for end, (_, n) in zip(made["cu_seqlens_q"][1:], scheduled) if n == 1]}


def pack_before(scheduled):
    return {**pack(scheduled), "seq_lens": [r.num_computed_tokens + n - 1 for r, n in scheduled]}


def pack_grows(scheduled):
    """Takes the first request's own list to put the others behind it."""
    made = pack(scheduled)
    row = None
    for r, n in scheduled:
        new = r.token_ids if n == r.num_tokens else r.token_ids[r.num_computed_tokens : r.num_computed_tokens + n]
        if row is None:
            row = new
        else:
            row += new
    return {**made, "token_ids": list(row)}


def pack_empties(scheduled):
    made = pack(scheduled)
    while scheduled:
        scheduled.pop()
    return made


def stop_characters(request, eos_token_ids, text):
    reason, short = stop_conditions(request, eos_token_ids, text)
    return (reason if reason == "stop" else "length" if len(text) >= request.params.max_tokens else None), short


def stop_strings(request, eos_token_ids, text):
    for cut in sorted(text.find(stop) for stop in request.params.stop if stop in text):
        return "stop", text[:cut]
    return None, text


def stop_min_find(request, eos_token_ids, text):
    """`find` gives -1 where a string is not there, and the least of all is then -1."""
    cut = min((text.find(stop) for stop in request.params.stop), default=-1)
    reason, _ = stop_conditions(request, eos_token_ids, "")
    return ("stop", text[:cut]) if cut >= 0 else (reason, text)


def stop_cuts_length(request, eos_token_ids, text):
    reason, short = stop_conditions(request, eos_token_ids, text)
    return reason, short[: request.params.max_tokens] if reason == "length" else short


def stop_counts_all(request, eos_token_ids, text):
    reason, text = stop_conditions(request, eos_token_ids, text)
    return (reason or ("length" if request.num_tokens >= request.params.max_tokens else None)), text


def stop_greater(request, eos_token_ids, text):
    reason, short = stop_conditions(request, eos_token_ids, text)
    if reason == "length" and request.num_tokens - request.num_prompt_tokens == request.params.max_tokens:
        reason = None
    return reason, short


def stop_never_eos(request, eos_token_ids, text):
    return stop_conditions(request, (), text)


def stop_length_first(request, eos_token_ids, text):
    reason, short = stop_conditions(request, eos_token_ids, text)
    return ("length" if len(request.output_ids) >= request.params.max_tokens else reason), short


def stop_ends_with(request, eos_token_ids, text):
    for stop in request.params.stop:
        if text[-len(stop) :] == stop:
            return "stop", text[: -len(stop)]
    if any(stop in text for stop in request.params.stop):
        held, request.params = (
            request.params,
            type(request.params)(max_tokens=request.params.max_tokens, stop_token_ids=request.params.stop_token_ids),
        )
        answer = stop_conditions(request, eos_token_ids, text)
        request.params = held
        return answer
    return stop_conditions(request, eos_token_ids, text)


def stop_whole_text(request, eos_token_ids, text):
    return stop_conditions(request, eos_token_ids, text)[0], text


def stop_any_token(request, eos_token_ids, text):
    if set(eos_token_ids) & set(request.token_ids) and not request.params.ignore_eos:
        return "stop", stop_conditions(request, eos_token_ids, text)[1]
    if set(request.params.stop_token_ids) & set(request.token_ids):
        return "stop", stop_conditions(request, eos_token_ids, text)[1]
    return stop_conditions(request, eos_token_ids, text)


def stop_only_reason(request, eos_token_ids, text):
    return stop_conditions(request, eos_token_ids, text)[0]


def stop_marks(request, eos_token_ids, text):
    answer = stop_conditions(request, eos_token_ids, text)
    request.finish_reason = answer[0]
    return answer


def step_batch_by_batch(waiting, running, num_blocks, block_size, max_num_seqs):
    if running:
        return [(r, r.num_tokens - r.num_computed_tokens) for r in running]
    return step(waiting, [], num_blocks, block_size, max_num_seqs)


def step_prompts_first(waiting, running, num_blocks, block_size, max_num_seqs):
    """As some early servers: a step is prompts or single tokens."""
    plan = step(waiting, running, num_blocks, block_size, max_num_seqs)
    prompts = [(r, n) for r, n in plan if r.num_computed_tokens == 0]
    return prompts if prompts else plan


def step_free_now(waiting, running, num_blocks, block_size, max_num_seqs):
    """Counts the blocks that are taken at this moment."""

    def blocks(n):
        return (n + block_size - 1) // block_size

    free = num_blocks - sum(blocks(r.num_tokens) for r in running)
    plan = [(r, r.num_tokens - r.num_computed_tokens) for r in running]
    for r in waiting:
        if blocks(r.num_tokens) > free or len(plan) >= max_num_seqs:
            break
        free -= blocks(r.num_tokens)
        plan.append((r, r.num_tokens))
    return plan


def step_one_more(waiting, running, num_blocks, block_size, max_num_seqs):
    plan, left = step([], running, num_blocks, block_size, max_num_seqs), num_blocks
    for r in running:
        left -= -(-(r.num_prompt_tokens + r.params.max_tokens) // block_size)
    for r in waiting:
        need = -(-(r.num_prompt_tokens + r.params.max_tokens) // block_size)
        if need > left or len(plan) == max_num_seqs:
            break
        left -= need
        plan.append((r, r.num_tokens))
    return plan


def step_skips(waiting, running, num_blocks, block_size, max_num_seqs):
    plan = step([], running, num_blocks, block_size, max_num_seqs)
    for r in waiting:
        trial = step([r], [one for one, _ in plan], num_blocks, block_size, max_num_seqs)
        plan += [(one, n) for one, n in trial if one is r]
    return plan


def step_all_seats(waiting, running, num_blocks, block_size, max_num_seqs):
    plan = [(r, r.num_tokens - r.num_computed_tokens) for r in running]
    joined = step(waiting, running, num_blocks, block_size, len(running) + max_num_seqs)
    return plan + [pair for pair in joined if pair[0] in waiting]


def step_moves(waiting, running, num_blocks, block_size, max_num_seqs):
    plan = step(waiting, running, num_blocks, block_size, max_num_seqs)
    while waiting and any(waiting[0] is r for r, _ in plan):
        running.append(waiting.pop(0))
    return plan


def step_names(waiting, running, num_blocks, block_size, max_num_seqs):
    return [(r.request_id, n) for r, n in step(waiting, running, num_blocks, block_size, max_num_seqs)]


def step_forgets(waiting, running, num_blocks, block_size, max_num_seqs):
    step(waiting, running, num_blocks, block_size, max_num_seqs)


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
    """Gives a fresh table to everybody and lets the old one go, with its blocks."""

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
    """The lists in the body of the class."""

    waiting, running, tables = [], [], {}

    def __init__(self, model, cache, max_num_seqs):
        self.model, self.cache, self.max_num_seqs = model, cache, max_num_seqs

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
    """Looks for the longest share of a step, also where there is none."""

    def step(self):
        max(n for _, n in step(self.waiting, self.running, 99, 4, self.max_num_seqs))
        return super().step()


def blocks_of(r, size):
    return -(-(r.num_prompt_tokens + r.params.max_tokens - 1) // size)


def step_floor(waiting, running, num_blocks, block_size, max_num_seqs):
    """// alone."""
    used, plan = 0, []
    for i, r in enumerate(running + waiting):
        used += (r.num_prompt_tokens + r.params.max_tokens - 1) // block_size
        if i >= len(running) and (i >= max_num_seqs or used > num_blocks):
            break
        plan.append((r, r.num_tokens - r.num_computed_tokens))
    return plan


def step_only_new(waiting, running, num_blocks, block_size, max_num_seqs):
    return step(waiting, running, num_blocks, block_size, max_num_seqs)[len(running) :]


def step_only_old(waiting, running, num_blocks, block_size, max_num_seqs):
    return [(r, r.num_tokens - r.num_computed_tokens) for r in running]


def step_each_alone(waiting, running, num_blocks, block_size, max_num_seqs):
    """Asks of each by itself whether it would fit beside those who run."""
    left, plan = (
        num_blocks - sum(blocks_of(r, block_size) for r in running),
        [(r, r.num_tokens - r.num_computed_tokens) for r in running],
    )
    for r in waiting:
        if len(plan) >= max_num_seqs or blocks_of(r, block_size) > left:
            return plan
        plan.append((r, r.num_tokens))
    return plan


def step_in_use(waiting, running, num_blocks, block_size, max_num_seqs):
    """What is in the cache now is what is taken."""
    left, plan = (
        num_blocks - sum(-(-r.num_computed_tokens // block_size) for r in running),
        [(r, r.num_tokens - r.num_computed_tokens) for r in running],
    )
    for r in waiting:
        left -= blocks_of(r, block_size)
        if len(plan) >= max_num_seqs or left < 0:
            return plan
        plan.append((r, r.num_tokens))
    return plan


def step_shortest(waiting, running, num_blocks, block_size, max_num_seqs):
    return step(sorted(waiting, key=lambda r: len(r.token_ids)), running, num_blocks, block_size, max_num_seqs)


def step_fewer_seats(waiting, running, num_blocks, block_size, max_num_seqs):
    return step(waiting, running, num_blocks, block_size, max(max_num_seqs - 1, len(running)))


CASES = {
    "10.pack": [
        ("whatever n says", pack_all_at_once),
        ("begin at 0 in each step", pack_prompt_or_decode),
        ("through the whole row", pack_arange),
        ("does not begin with 0", pack_no_zero),
        ("not computed yet", pack_lengths),
        ("not at its end", pack_last_rows),
        ("printed, not returned", pack_shows),
        (None, pack_tuple),
        (None, pack_padded),
        ("counted further", pack_counts),
        ("slice ends at n", pack_slices_to_n),
        ("a list for each", pack_rows),
        ("end of the prompt", pack_prompts_end),
        ("single tokens alone", pack_writers),
        ("leaves out the new", pack_before),
        ("what came in", pack_grows),
        ("what came in", pack_empties),
    ],
    "10.stop_conditions": [
        ("prompt counts", stop_counts_all),
        ("goes on after", stop_greater),
        ("end tokens are forgotten", stop_never_eos),
        ('"length" is said', stop_length_first),
        ("very end of the text", stop_ends_with),
        ("not cut", stop_whole_text),
        ("of the prompt", stop_any_token),
        (None, stop_only_reason),
        ("request is changed", stop_marks),
        ("characters are counted", stop_characters),
        ("strings alone", stop_strings),
        (None, stop_min_find),
        (None, stop_cuts_length),
    ],
    "10.step": [
        ("whole batch is done", step_batch_by_batch),
        ("stand still while a prompt", step_prompts_first),
        ("no room is kept for the answer", step_free_now),
        ("one slot too many", step_one_more),
        ("overtake", step_skips),
        ("seats of running requests", step_all_seats),
        ("lists are changed", step_moves),
        (None, step_names),
        ("nothing is returned", step_forgets),
        ("rest of a block", step_floor),
        ("who run are left out", step_only_new),
        ("nobody joins", step_only_old),
        ("takes no blocks", step_each_alone),
        ("promised is given away", step_in_use),
        ("shortest prompt", step_shortest),
        ("one seat", step_fewer_seats),
    ],
    "10.continuous_loop": [
        (None, ServesInTurn),
        ("whole batch is done", StaticServer),
        (None, Leaky),
        ("aborted request are not freed", ForgetsAborts),
        ("by itself", OwnCalls),
        ("end token is not looked at", NeverAsksEnd),
        ("returns nothing", Silent),
        ("forgets those who wait", Impatient),
        ("share one list", ForAll),
        ("`ignore_eos`", EndsAnyway),
        (None, NeverIdle),
    ],
}
