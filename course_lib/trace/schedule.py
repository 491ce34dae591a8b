"""What an engine decided, replayed: a lane for each request, with what it did in every step. Plain lists, no torch.

The records are those of course_lib/trace/records.py, as rows: [step, event, field, ...]. Steps are counted from 0 at the first record.
A span is a stretch of steps in which a request did one thing, [kind, begin, end, start, counts], half-open:

    waiting       came, and was not admitted yet                           start 0, counts 0
    prefill       its prompt is computed, in chunks of `counts` tokens from number `start` on
    decode        the token that was chosen last is computed; counts 0: one in each step, else a list
    again         tokens that had been computed once, and were thrown away
    idle          it runs, but this step had no tokens for it              start: so many are computed
    preempted     it made room; what was computed is thrown away           start 0
    swapped       it made room; so many tokens are in CPU memory           start
"""

from course_lib.errors import ParameterError

COMPUTED = ("prefill", "decode", "again")


class Lane:
    """One request. client, priority, num_prompt: as `queue` said. known: tokens it has, as far as the trace tells; kept: those in
    CPU memory; lost: those that were thrown away. done: [step in which it ended, reason, whether that step
    still computed tokens of it], or None."""

    def __init__(self, name, number, begin, client, priority, num_prompt):
        self.name, self.number, self.begin, self.client, self.priority = name, number, begin, client, priority
        self.num_prompt = self.known = num_prompt
        self.computed = self.kept = self.lost = 0
        self.state, self.spans, self.done, self.admitted, self.parent = "waiting", [], None, False, None

    def fork(self, name, number, begin):
        """Another one that goes on from where this one is."""
        other = Lane(name, number, begin, self.client, self.priority, self.num_prompt)
        other.known, other.computed, other.state, other.admitted, other.parent = (
            self.known,
            self.computed,
            "running",
            True,
            self,
        )
        return other

    def extend(self, step, kind, start, number):
        """One step more: number tokens from `start` on."""
        counts = [number] if kind in COMPUTED and not (kind == "decode" and number == 1) else 0
        last = self.spans[-1] if self.spans else None
        if last and last[0] == kind and last[2] == step and bool(last[4]) == bool(counts):
            reached = last[3] + (sum(last[4]) if last[4] else step - last[1])
            if kind not in COMPUTED or reached == start:
                last[2] += 1
                last[4] = counts and last[4] + counts
                return
        self.spans.append([kind, step, step + 1, start, counts])


class Schedule:
    """Lanes, step by step. lanes: all of them, in the order in which they came; service: {client: [prompt tokens, written tokens]}.

    engine: (policy, max_num_seqs, max_num_batched_tokens), None where the trace does not say. After `take(rows)` of a step,
    `happened` holds what it did, a list of (event, lane, more), `batch` the lanes that it computed, {lane: (start, count)}, `idle`
    those that run and got no tokens, and `waiting` those that wait.
    """

    def __init__(self, first):
        self.first, self.step = first, -1
        self.lanes, self.live, self.by_name = [], {}, {}  # live: lanes by number; by_name: the newest of a name
        self.engine, self.service = None, {}
        self.batch, self.happened, self.idle, self.waiting = {}, [], [], []

    def take(self, rows):
        """One step. rows: its records, as (index, row). Raises ParameterError for one that does not fit those before it."""
        self.step += 1
        self.batch, self.happened = {}, []
        for index, (_, event, *fields) in rows:
            handle = getattr(self, "_on_" + event, None)
            if handle:
                handle(index, *fields)
        for lane, (start, number) in self.batch.items():
            kind = "again" if start < lane.lost else "prefill" if start < lane.num_prompt else "decode"
            lane.extend(self.step, kind, start, number)
            if lane.computed >= lane.known:
                lane.known = lane.computed + 1
                self._serve(lane, written=1)
        begun = [lane for lane in self.live.values() if lane.begin <= self.step]  # a fork runs from the next step on
        self.idle = [lane for lane in begun if lane.state == "running" and lane not in self.batch]
        self.waiting = [lane for lane in self.live.values() if lane.state != "running"]
        for lane in self.idle:
            lane.extend(self.step, "idle", lane.computed, 0)
        for lane in self.waiting:
            lane.extend(self.step, lane.state, lane.kept, 0)
        for _, lane, _ in [one for one in self.happened if one[0] == "finish"]:
            lane.done[2] = lane in self.batch

    def counts(self):
        """[tokens in this step, requests that run in it, requests that wait]."""
        return [sum(number for _, number in self.batch.values()), len(self.batch) + len(self.idle), len(self.waiting)]

    def _on_engine(self, index, policy, seats, budget):
        self.engine = policy, seats, budget

    def _on_queue(self, index, request, client, priority, num_tokens):
        if request in self.by_name and self.by_name[request].done is None:
            raise ParameterError(
                f"record {index} queues request {request!r}, which is being served already. Give each request "
                f"a name of its own, or write `finish` first."
            )
        if type(num_tokens) is not int or num_tokens < 0:
            raise ParameterError(
                f"record {index} queues request {request!r} with num_tokens = {num_tokens!r}; it counts the "
                f"tokens of its prompt, a whole number."
            )
        self._open(Lane(request, len(self.lanes), self.step, client, priority, num_tokens))
        self.service.setdefault(client, [0, 0])

    def _open(self, lane):
        self.lanes.append(lane)
        self.live[lane.number] = self.by_name[lane.name] = lane
        self.happened.append(("queue" if lane.parent is None else "fork", lane, lane.parent))

    def _on_fork(self, index, request, parent):
        other = self.by_name.get(parent)
        if other is None or other.done is not None:
            return  # of tables only: nobody scheduled the parent
        lane = other.fork(request, len(self.lanes), self.step + 1)
        self._open(lane)
        if other in self.batch:
            self._serve(lane, written=1)

    def _on_schedule(self, index, requests, starts, counts):
        if not len(requests) == len(starts) == len(counts):
            raise ParameterError(
                f"record {index} schedules {len(requests)} requests with {len(starts)} starts and {len(counts)} "
                f"counts. Each request needs one of both."
            )
        for request, start, number in zip(requests, starts, counts):
            lane = self._lane(index, request, "schedules")
            if type(start) is not int or type(number) is not int or start < 0 or number < 1:
                raise ParameterError(
                    f"record {index} schedules {number!r} tokens of request {request!r} from number {start!r} on. "
                    f"A request in the batch has at least one token, and they are counted from 0."
                )
            if lane in self.batch:
                raise ParameterError(
                    f"record {index} schedules request {request!r} twice in one step. Put its tokens together."
                )
            if lane.state != "running":
                self.happened.append(("join", lane, (lane.state, start, number)))
            lane.state, lane.kept, lane.computed = "running", 0, start + number
            self.batch[lane] = start, number
            if not lane.admitted:
                lane.admitted = True
                self._serve(lane, prompt=lane.num_prompt)

    def _serve(self, lane, prompt=0, written=0):
        had = self.service.setdefault(lane.client, [0, 0])
        had[0] += prompt
        had[1] += written

    def _on_preempt(self, index, request, how, num_tokens):
        lane = self._lane(index, request, "preempts")
        if lane.state != "running":
            raise ParameterError(
                f"record {index} preempts request {request!r}, which does not run: it is {lane.state}. Only who "
                f"runs can make room."
            )
        broke_off = self.batch.pop(lane, None)  # the step, after it was scheduled: that counts as not computed
        lane.state = "swapped" if how == "swap" else "preempted"
        lane.kept = lane.computed if how == "swap" else 0
        lane.lost = max(lane.lost, num_tokens)
        self.happened.append(("break" if broke_off else "preempt", lane, num_tokens))

    def _on_swap(self, index, request, direction, num_tokens):
        lane = self._lane(index, request, "swaps")
        self.happened.append(("swap " + direction, lane, num_tokens))

    def _on_finish(self, index, request, reason):
        lane = self._lane(index, request, "finishes")
        del self.live[lane.number]
        lane.done = [self.step, reason, False]
        self.happened.append(("finish", lane, reason))

    def _lane(self, index, request, does):
        lane = self.by_name.get(request)
        if lane is None:
            raise ParameterError(
                f"record {index} {does} request {request!r}, which never came: no `queue` and no `fork` before it "
                f"names it. Give the trace from its beginning."
            )
        if lane.done is not None:
            raise ParameterError(
                f"record {index} {does} request {request!r}, which is done since step {lane.done[0]} "
                f"({lane.done[1]}). Take it out of `running` when it finishes."
            )
        return lane
