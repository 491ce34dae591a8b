"""Cases of 10.continuous_loop: a whole server. Requests join, write and leave at every step, over one paged cache."""

import random

import torch

from ..decoding.sampling import SamplingParams
from ..engine.request import Request
from ..errors import CourseError
from ..kvcache import BlockTable
from .common import PRINTED
from .exercise import Exercise, Mistake, Property
from .lesson10_pack import pack
from .lesson10_step import step
from .lesson10_stop import stop_conditions
from .timelines import Arrival, Script, Timeline, random_script, script_trial
from .tiny_server import SummingModel, alone, paged_cache


class ContinuousLoop:
    """A server: requests join, write and leave at every step. cache: a PagedCache."""

    def __init__(self, model, cache, max_num_seqs):
        self.model, self.cache, self.max_num_seqs = model, cache, max_num_seqs
        self.waiting, self.running, self.tables = [], [], {}

    def add_request(self, request):
        self.waiting.append(request)

    def has_unfinished(self):
        return bool(self.waiting or self.running)

    def abort(self, request_id):
        self.waiting = [request for request in self.waiting if request.request_id != request_id]
        self.running = [request for request in self.running if request.request_id != request_id]
        if request_id in self.tables:
            self.tables.pop(request_id).free()

    def step(self):
        allocator = self.cache.allocator
        scheduled = step(self.waiting, self.running, allocator.num_blocks, allocator.block_size, self.max_num_seqs)
        for request, n in scheduled:
            if request in self.waiting:
                self.waiting.remove(request)
                self.running.append(request)
                self.tables[request.request_id] = BlockTable(allocator, name=request.request_id)
            self.tables[request.request_id].append_slots(n)
        batch = pack(scheduled)
        tables = [self.tables[request.request_id] for request, _ in scheduled]
        positions = self.cache.begin_step(tables, [n for _, n in scheduled])
        token_ids, rows = torch.tensor(batch["token_ids"]), torch.tensor(batch["logits_for"])
        logits = self.model(token_ids, positions, self.cache, logits_for=rows)
        outputs = []
        for (request, n), row in zip(scheduled, logits):
            request.num_computed_tokens += n
            request.token_ids.append(int(row.argmax()))
            reason, _ = stop_conditions(request, self.model.config.eos_token_ids, "")
            if reason:
                self.abort(request.request_id)
            outputs.append((request.request_id, request.token_ids[-1], reason))
        return outputs


class Everything:
    """Written in one piece, over a dict of what each request holds; the blocks are taken at once when it joins."""

    def __init__(self, model, cache, max_num_seqs):
        self.model, self.cache, self.seats = model, cache, max_num_seqs
        self.queue, self.live = {}, {}

    def add_request(self, request):
        self.queue[request.request_id] = request

    def has_unfinished(self):
        return len(self.queue) + len(self.live) > 0

    def abort(self, request_id):
        self.queue.pop(request_id, None)
        held = self.live.pop(request_id, None)
        if held:
            held[1].free()

    def step(self):
        size, ledger = self.cache.allocator.block_size, self.cache.allocator
        for name, request in list(self.queue.items()):
            most = request.num_prompt_tokens + request.params.max_tokens - 1
            promised = sum(-(-(r.num_prompt_tokens + r.params.max_tokens - 1) // size) for r, _ in self.live.values())
            if len(self.live) == self.seats or promised + -(-most // size) > ledger.num_blocks:
                break
            self.live[name] = self.queue.pop(name), BlockTable(ledger)
        if not self.live:
            return []
        flat, ends, counts, tables = [], [], [], []
        for request, table in self.live.values():
            new = request.token_ids[table.num_tokens:]
            table.append_slots(len(new))
            flat.extend(new)
            ends.append(len(flat) - 1)
            counts.append(len(new))
            tables.append(table)
        positions = self.cache.begin_step(tables, counts)
        choices = self.model(torch.tensor(flat), positions, self.cache)[ends].argmax(1).tolist()
        said = []
        for name, token in zip(list(self.live), choices):
            request, table = self.live[name]
            request.token_ids.append(token)
            params = request.params
            ends_it = token in params.stop_token_ids or (not params.ignore_eos and token in self.model.config.eos_token_ids)
            reason = "stop" if ends_it else "length" if len(request.output_ids) == params.max_tokens else None
            if reason:
                table.free()
                del self.live[name]
            said.append([name, token, reason])
        return said


CALL, IMPORTS = "serve({answer}, {arrivals}, {setup})", "from course_lib.practice.lesson10_loop import Arrival, serve"


def serve(loop, arrivals, *, max_num_seqs=4, num_blocks=16, block_size=4, eos=None, show="tokens"):
    """The Timeline of a loop on a script: what each request wrote in each step. The model is a SummingModel.

    eos: its end token, or None. show: "tokens", or "calls": how often the model is called in each step; "free": and how many
    blocks are free at the end.
    """
    arrivals = list(arrivals)
    script = Script(tuple(arrivals))
    model = SummingModel(() if eos is None else (eos,), most_calls=20 * script.most_steps)
    cache = paged_cache(model, num_blocks, block_size)
    made, line = loop(model, cache, max_num_seqs), Timeline(numbers={"P": "computes its prompt and writes token {n}", "D": "writes token {n}"})
    state, new = {}, list(enumerate(arrivals))
    for now in range(script.most_steps):
        for number, arrival in [one for one in new if one[1].step <= now]:
            new.remove((number, arrival))
            request = Request(arrival.name, prompt_of(number, arrival.prompt), SamplingParams(max_tokens=arrival.max_tokens), arrival=float(now))
            made.add_request(request)
            state[arrival.name] = "W"
        for arrival in arrivals:
            if arrival.abort == now and state.get(arrival.name, "F")[0] not in "FA":
                made.abort(arrival.name)
                state[arrival.name] = "A"
        cells = dict(state)
        state = {name: letter for name, letter in state.items() if letter not in "FA"}
        calls, unfinished = model.calls, made.has_unfinished()
        if unfinished:
            for name, token, reason in outputs_of(made.step(), state):
                cells[name] = ("P" if state[name] == "W" else "D") + str(token)
                state[name] = "F" if reason else "-"
                if reason == "stop":
                    cells[name] += "."
        line.column(cells, {"calls": model.calls - calls} if show == "calls" and unfinished else {})
        if not new and not (state and unfinished):
            break
    if show == "free":
        line.column({}, {"free": cache.allocator.num_free})
    return line


def outputs_of(outputs, state):
    """What a step returned, looked through."""
    if not isinstance(outputs, (list, tuple)) or not all(isinstance(one, (list, tuple)) and len(one) == 3 for one in outputs):
        raise CourseError(f"step() returned {str(outputs)[:60]}; a list of (request_id, token id, finish_reason or None) is asked for.")
    for name, token, reason in outputs:
        if name not in state or state[name] == "F":
            raise CourseError(f"step() says that {name!r} wrote token {token}, and nobody of that name is being served.")
        if type(token) is not int or reason not in (None, "stop", "length"):
            raise CourseError(f"step() says ({name!r}, {token!r}, {reason!r}); the token is an int, and the reason \"stop\", \"length\" or None.")
    return outputs


def prompt_of(number, length):
    """The prompt of the script's request of this number."""
    return [(3 + 5 * number + 7 * at) % 31 for at in range(length)]


def play(answer, script):
    return serve(answer, script.arrivals, **script.setup)


def of(script, note=""):
    return script_trial(play, script, CALL, "ContinuousLoop", imports=IMPORTS, note=note, least={"eos": 10**9})


def plan(*arrivals, max_num_seqs=4, num_blocks=16, block_size=4, note="", **setup):
    """The Trial of a script. arrivals: (step, prompt, max_tokens) or with the step of its abort, named a, b, c."""
    named = tuple(Arrival(name, *one[:3], abort=one[3] if len(one) > 3 else None) for name, one in zip("abcdefgh", arrivals))
    return of(Script(named, {"max_num_seqs": max_num_seqs, "num_blocks": num_blocks, "block_size": block_size, **setup}), note)


def ending(at, *arrivals, **setup):
    """The Trial in which the model's end token is what the first request writes at place `at`, counted from 0."""
    return plan(*arrivals, eos=alone(tuple(prompt_of(0, arrivals[0][1])), 20)[at], **setup)


class Parts(ContinuousLoop):
    """The right loop in parts, of which a wrong answer replaces one."""

    def step(self):
        allocator = self.cache.allocator
        scheduled = self.choose(self.waiting, self.running, allocator.num_blocks, allocator.block_size, self.max_num_seqs)
        for request, n in scheduled:
            if request in self.waiting:
                self.waiting.remove(request)
                self.running.append(request)
                self.tables[request.request_id] = BlockTable(allocator)
            self.tables[request.request_id].append_slots(n)
        outputs = []
        for (request, n), token in zip(scheduled, self.push(scheduled)):
            request.num_computed_tokens += n
            request.token_ids.append(token)
            reason = self.over(request)
            if reason:
                self.leave(request)
            outputs.append((request.request_id, token, reason))
        return outputs

    def choose(self, *given):
        return step(*given)

    def push(self, scheduled):
        tables = [self.tables[request.request_id] for request, _ in scheduled]
        positions = self.cache.begin_step(self.tables_of(tables), [n for _, n in scheduled])
        flat = torch.tensor(pack(scheduled)["token_ids"])
        return self.model(flat, self.positions(positions, scheduled), self.cache)[self.rows(scheduled)].argmax(1).tolist()

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
    """Who is done keeps its seat until all are."""

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
    """Who is done is taken out at the beginning of the step after the next."""

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


class NeverFrees(Parts):
    def leave(self, request):
        self.running.remove(request)


class KeepsAborted(Parts):
    def abort(self, request_id):
        self.waiting = [r for r in self.waiting if r.request_id != request_id]
        self.running = [r for r in self.running if r.request_id != request_id]


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
    """Tables in the order of their names of the newest first; tokens in the order of the batch."""

    def push(self, scheduled):
        back = super().push(scheduled)
        return back[::-1]


class NoEnd(Parts):
    def over(self, request):
        return "length" if len(request.output_ids) >= request.params.max_tokens else None


class PromptCounts(Parts):
    def over(self, request):
        return "length" if request.num_tokens >= request.params.max_tokens else stop_conditions(request, self.model.config.eos_token_ids, "")[0]


class OneMore(Parts):
    def over(self, request):
        reason = stop_conditions(request, self.model.config.eos_token_ids, "")[0]
        return None if reason == "length" and len(request.output_ids) == request.params.max_tokens else reason


class Crowded(Parts):
    def choose(self, waiting, running, num_blocks, block_size, max_num_seqs):
        return step(waiting, running, 10**6, block_size, max_num_seqs)


class OnlyRunning(Parts):
    def has_unfinished(self):
        return bool(self.running)


class NoSeats(Parts):
    def choose(self, waiting, running, num_blocks, block_size, max_num_seqs):
        return step(waiting, running, num_blocks, block_size, 10**6)


ALONE = [plan((0, 1, 1)), plan((0, 2, 3)), plan((0, 5, 4)), plan((1, 3, 6)), plan((0, 8, 2), block_size=3)]
JOIN = [plan((0, 2, 4), (1, 3, 2)), plan((0, 2, 3), (0, 4, 3)), plan((0, 3, 6), (2, 5, 3)), plan((0, 3, 5), (1, 1, 5), (3, 2, 4)), plan((0, 4, 3), (0, 2, 5), (2, 6, 4))]
SEATS = [plan((0, 2, 2), (0, 2, 2), max_num_seqs=1), plan((0, 2, 1), (0, 3, 4), (0, 2, 2), max_num_seqs=2), plan((0, 2, 2), (1, 3, 4), (1, 2, 3), (1, 4, 2), max_num_seqs=2)]
ENDS = [ending(1, (0, 2, 9)), ending(0, (0, 3, 4)), ending(2, (0, 4, 9), (1, 3, 5)), ending(1, (0, 2, 2)), ending(1, (0, 5, 6), (0, 2, 6), max_num_seqs=1)]
ROOM = [plan((0, 4, 5), (0, 4, 5), num_blocks=3), plan((0, 2, 7), (1, 2, 7), (1, 5, 3), num_blocks=4), plan((0, 3, 4), (0, 3, 4), (0, 3, 4), num_blocks=4),
        plan((0, 6, 3), (0, 6, 3), (2, 1, 4), num_blocks=3), plan((0, 4, 4), (1, 4, 4), (2, 4, 4), (3, 4, 4), num_blocks=2)]
ABORT = [plan((0, 2, 8, 2)), plan((0, 2, 4), (0, 2, 4, 1), max_num_seqs=1), plan((0, 2, 6, 2), (0, 3, 4), max_num_seqs=1), plan((0, 4, 5, 2), (1, 4, 5), num_blocks=2),
         plan((0, 2, 5), (1, 3, 6, 3), (1, 2, 4, 2)), plan((0, 3, 6, 3), (0, 2, 3, 1), (0, 4, 3), max_num_seqs=1), plan((0, 4, 5, 3), (1, 4, 5, 2), (1, 4, 5), num_blocks=2)]
CALLS = [plan((0, 2, 3), (0, 3, 2), show="calls"), plan((0, 2, 4), (1, 5, 3), show="calls"), plan((0, 1, 3), (0, 2, 3), (1, 3, 3), show="calls")]
FREE = [plan((0, 5, 2), show="free"), plan((0, 5, 4), (1, 2, 3), show="free"), plan((0, 5, 6, 3), show="free"), plan((0, 2, 3), (0, 6, 6, 2), show="free"),
        plan((0, 6, 6, 2), (2, 3, 3, 4), show="free")]
_chance = random.Random(3)
MIXED = [of(random_script(_chance, setup, aborts=0.25)) for setup in
         [{"max_num_seqs": seats, "num_blocks": blocks, "block_size": size} for seats, blocks, size in ((2, 16, 4), (3, 5, 4), (4, 8, 2))] * 3]

CONTINUOUS_LOOP = Exercise(
    id="10.continuous_loop",
    title="A server that never waits for a batch",
    name="ContinuousLoop",
    cases="scripts",
    properties=[
        Property("One request alone gets the tokens of `generate_naive`", "Whatever is done for speed, the text must be the same.", ALONE),
        Property("Requests join in any step, and each writes what it would write alone",
                 "Others in the batch are strangers: their tokens, tables and positions are their own.", JOIN),
        Property("At most `max_num_seqs` run, and who is done makes room for the very next step", "An empty seat computes nothing for anybody.", SEATS),
        Property("The model's end token ends a text, and so does `max_tokens`", "And the reason is told: \"stop\" or \"length\".", ENDS),
        Property("Who finds no room in memory waits, and takes the blocks of those who left",
                 "Blocks that are not freed are lost: after a while nobody fits any more.", ROOM),
        Property("`abort` ends a request wherever it is", "A client has closed the window. Its seat and its blocks are for others.", ABORT),
        Property("The model is called once in each step", "All requests share one reading of the weights. That is what a batch is for.", CALLS),
        Property("In the end all blocks are free", "Blocks that are lost show up an hour later, as a server that is full of nothing.", FREE),
        Property("Any mixture of these", "Requests come, wait, run and are given up at any time.", MIXED),
    ],
    mistakes=[
        PRINTED,
        Mistake("it waits until the whole batch is done.",
                "That is static batching: new requests stand outside while seats are empty. Let them join in every step.", JoinsWhenEmpty),
        Mistake("who is done keeps its seat until all are done.", "A text that is over leaves in that very step; its seat and blocks are the next one's.", LeavesTogether),
        Mistake("who is done leaves a step late.", "Look whether it is over when the new token is known, and not at the beginning of the next step.", LeavesLate),
        Mistake("those who run stand still while a prompt is computed.", "Put the prompt and the single tokens into one flat batch.", Pauses),
        Mistake("blocks of finished requests are not freed.", "The table is gone and the allocator was never told: `table.free()` before you forget it.", NeverFrees),
        Mistake("blocks of an aborted request are not freed.", "A request that is given up holds blocks like any other: `table.free()`.", KeepsAborted),
        Mistake("a running request cannot be aborted.", "Look for it among those who run as well.", AbortsWaiting),
        Mistake("a waiting request cannot be aborted.", "Look for it among those who wait as well, or it is served although nobody is there.", AbortsRunning),
        Mistake("the model is called for each request by itself.",
                "The weights are read again for each call. Put the tokens of all into one row, and call the model once.", OneByOne),
        Mistake("positions count through the whole row.", "Each request counts in its own text. `begin_step` returns the right ones.", CountsThrough),
        Mistake("positions begin at 0 in each step.", "The newest token stands at the end of its text. `begin_step` returns the right ones.", FromZero),
        Mistake("the next token is read from the first row of a request.", "The last row of a prompt has seen all of it: only that one says what comes next.", FirstRows),
        Mistake("row i of the logits is taken for request i.", "A prompt brings as many rows as tokens. Find the last row of each, `cu_seqlens_q[i + 1] - 1`.", RowOfRequest),
        Mistake("tokens go to the wrong requests.", "Rows come back in the order in which the tables and tokens went in. Keep one order.", OtherTables),
        Mistake("the end token is not looked at.", "Ask `model.config.eos_token_ids`: a text that is over goes on with nonsense.", NoEnd),
        Mistake("the prompt counts towards `max_tokens`.", "Count what was written: the tokens after `num_prompt_tokens`.", PromptCounts),
        Mistake("a text gets one token too many.", "With max_tokens=1 it is over after one token.", OneMore),
        Mistake("memory is not looked at.", "`append_slots` says None where no block is free, and the step cannot go on. Do not let a request join "
                "whose blocks are not left.", Crowded),
        Mistake("more than `max_num_seqs` run.", "Those who run and those who join count together.", NoSeats),
        Mistake("`has_unfinished` forgets those who wait.", "While somebody waits there is something to do.", OnlyRunning),
    ],
    hints=[
        "Keep three things: a list of who waits, a list of who runs, and a BlockTable for each who runs. `add_request` adds to the first.",
        "In `step`: let your `step` function say who runs. A new one gets a `BlockTable(self.cache.allocator)`; each gets slots for its n "
        "tokens with `table.append_slots(n)`.",
        "Then once for all: `positions = self.cache.begin_step(tables, counts)`, and the model with the flat row of tokens. Your `pack` "
        "makes that row, and says which rows of the logits you need.",
        "For each request: n tokens more are computed, the new token joins `token_ids`, and `stop_conditions` says whether it is "
        "over. If so: out of `running`, and `table.free()`.",
        "`abort` does the same as the end of a text, for a running request; one that waits holds no blocks, and only leaves the list.",
    ],
    rights=[ContinuousLoop, Everything],
    why="Forty lines, and it serves any number of requests with one call of the model a step. The course's engine has the same "
        "parts, each in a file of its own: `scheduler.py` chooses, `runner.py` packs and runs, `engine.py` ends texts. What "
        "it adds: a token budget, pieces of prompts, shared prefixes, and preemption instead of reserving (lesson 11).",
)
