"""What the records of a scheduler mean: a lane for each request, with what it did in every step. Plain lists, no torch.

Steps are counted from 0 at the first record. A span is a stretch of steps in which a request did one thing,
[kind, begin, end, start, counts], half-open:

    waiting       came, and was not admitted yet                           start 0, counts 0
    prefill       its prompt is computed, in chunks of `counts` tokens from number `start` on
    decode        the token that was chosen last is computed; counts 0: one in each step, else a list
    speculate     as decode, with drafted tokens after it; counts: [tokens computed, drafted ones accepted] of each step
    recompute     tokens that had been computed once, and were thrown away
    idle          it runs, but the step had no tokens for it               start: how many of its tokens are computed
    preempted     preempted, its computed tokens thrown away               start 0
    swapped       preempted, `start` of its tokens are in CPU memory
"""

from course_lib.errors import ParameterError

COMPUTED = ("prefill", "decode", "speculate", "recompute")
MOST_STEPS = 100_000


def span_at(spans, step):
    """The span that holds the step, or None."""
    return next((span for span in spans if span[1] <= step < span[2]), None)


def tokens_in(span, step):
    """How many tokens are computed in a step of the span."""
    kind, begin, _, _, counts = span
    if kind == "speculate":
        return counts[step - begin][0]
    return 0 if kind not in COMPUTED else counts[step - begin] if counts else 1


def drafts_in(span, step):
    """(drafted tokens in a step of the span, how many of them were accepted)."""
    kind, begin, _, _, counts = span
    if kind != "speculate":
        return 0, 0
    tokens, accepted = counts[step - begin]
    return tokens - 1, accepted


def computed_after(span, step):
    """How many tokens of the request are computed after a step of the span, those that were taken back not counted."""
    kind, begin, _, start, counts = span
    if kind not in COMPUTED:
        return start
    if kind == "speculate":
        return start + sum(1 + accepted for _, accepted in counts[: step - begin + 1])
    return start + (sum(counts[: step - begin + 1]) if counts else step - begin + 1)


def steps_of(rows):
    """The rows step by step, from the first record's step to the last one's: a list of lists of (index, row)."""
    first, last = rows[0][0], rows[-1][0]
    if last - first >= MOST_STEPS:
        raise ParameterError(
            f"The records go from step {first:,} to step {last:,}, and a timeline has a column for each: at most "
            f"{MOST_STEPS:,}. Count steps of the engine, not time; `trace.next_step()` does."
        )
    steps = [[] for _ in range(last - first + 1)]
    for index, row in enumerate(rows):
        steps[row[0] - first].append((index, row))
    return steps


class Lane:
    """One request.

    client, priority, num_prompt: as `queue` said. known: how many tokens it has, as far as the trace tells; kept: how
    many of them are in CPU memory; lost: how many had been computed when it was preempted. done: [step in which it
    ended, reason, whether that step still computed tokens of it], or None.
    """

    def __init__(self, name, number, begin, client, priority, num_prompt):
        self.name, self.number, self.begin, self.client, self.priority = name, number, begin, client, priority
        self.num_prompt = self.known = num_prompt
        self.computed = self.kept = self.lost = 0
        self.state, self.spans, self.done, self.admitted, self.parent = "waiting", [], None, False, None

    def fork(self, name, number, begin):
        """Another lane that goes on from where this one is."""
        other = Lane(name, number, begin, self.client, self.priority, self.num_prompt)
        other.known, other.computed = self.known, self.computed
        other.state, other.admitted, other.parent = "running", True, self
        return other

    def extend(self, step, kind, start, number):
        """One step more: number tokens from `start` on; for "speculate" [number, accepted]."""
        counts = [number] if kind in COMPUTED and not (kind == "decode" and number == 1) else 0
        last = self.spans[-1] if self.spans else None
        if last and last[0] == kind and last[2] == step and bool(last[4]) == bool(counts):
            if kind not in COMPUTED or computed_after(last, step - 1) == start:
                last[2] += 1
                last[4] = counts and last[4] + counts
                return
        self.spans.append([kind, step, step + 1, start, counts])


class Schedule:
    """Lanes, step by step.

    lanes: all of them, in the order in which they came; service: {client: [prompt tokens, generated tokens]}; engine:
    (policy, max_num_seqs, max_num_batched_tokens), None where the trace does not say.
    After `take(rows)` of a step, `happened` holds what it did, a list of (event, lane, more), `batch` the lanes that it
    computed, {lane: (start, count)}, `checked` those with drafts, {lane: (drafted, accepted)}, `idle` those that run
    and got no tokens, and `waiting` those that wait.
    """

    def __init__(self):
        self.step = -1
        self.lanes, self.live, self.by_name = [], {}, {}  # live: lanes by number; by_name: the newest of a name
        self.engine, self.service = None, {}
        self.batch, self.checked, self.happened, self.idle, self.waiting = {}, {}, [], [], []

    def take(self, rows):
        """One step. rows: its records, as (index, row). Raises ParameterError for one that contradicts those before."""
        self.step += 1
        self.batch, self.checked, self.happened = {}, {}, []
        for index, (_, event, *fields) in rows:
            handle = getattr(self, "_on_" + event, None)
            if handle:
                handle(index, *fields)
        for lane, (start, number) in self.batch.items():
            if lane in self.checked:
                _, accepted = self.checked[lane]
                lane.computed = start + 1 + accepted
                lane.extend(self.step, "speculate", start, [number, accepted])
            else:
                kind = "recompute" if start < lane.lost else "prefill" if start < lane.num_prompt else "decode"
                lane.extend(self.step, kind, start, number)
            if lane.computed >= lane.known:
                self._serve(lane, generated=lane.computed + 1 - lane.known)
                lane.known = lane.computed + 1
        begun = [lane for lane in self.live.values() if lane.begin <= self.step]  # a fork runs from the next step on
        self.idle = [lane for lane in begun if lane.state == "running" and lane not in self.batch]
        self.waiting = [lane for lane in self.live.values() if lane.state != "running"]
        for lane in self.idle:
            lane.extend(self.step, "idle", lane.computed, 0)
        for lane in self.waiting:
            lane.extend(self.step, lane.state, lane.kept, 0)
        for event, lane, _ in self.happened:
            if event == "finish":
                lane.done[2] = lane in self.batch

    def counts(self):
        """[tokens in this step, requests that run in it, requests that wait]."""
        return [sum(number for _, number in self.batch.values()), len(self.batch) + len(self.idle), len(self.waiting)]

    def _on_engine(self, index, policy, max_num_seqs, max_num_batched_tokens):
        self.engine = policy, max_num_seqs, max_num_batched_tokens

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
            return  # a fork of block tables only: the parent was never scheduled
        lane = other.fork(request, len(self.lanes), self.step + 1)
        self._open(lane)
        if other in self.batch:
            self._serve(lane, generated=1)

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

    def _serve(self, lane, prompt=0, generated=0):
        served = self.service.setdefault(lane.client, [0, 0])
        served[0] += prompt
        served[1] += generated

    def _on_preempt(self, index, request, how, num_tokens):
        lane = self._lane(index, request, "preempts")
        if lane.state != "running":
            raise ParameterError(
                f"record {index} preempts request {request!r}, which does not run: it is {lane.state}. Only a "
                f"running request can be preempted."
            )
        undone = self.batch.pop(
            lane, None
        )  # preempted after it was scheduled: the step was undone, nothing is computed
        lane.state = "swapped" if how == "swap" else "preempted"
        lane.kept = lane.computed if how == "swap" else 0
        lane.lost = max(lane.lost, num_tokens)
        self.happened.append(("undo" if undone else "preempt", lane, num_tokens))

    def _on_swap(self, index, request, direction, num_tokens):
        lane = self._lane(index, request, "swaps")
        self.happened.append(("swap " + direction, lane, num_tokens))

    def _on_speculate(self, index, request, drafted, accepted):
        lane = self._lane(index, request, "checks drafts of")
        if lane not in self.batch or not 0 <= accepted <= drafted == self.batch[lane][1] - 1:
            raise ParameterError(
                f"record {index} says that {accepted!r} of {drafted!r} drafted tokens of request {request!r} are "
                f"accepted, and this step computes {self.batch.get(lane, (0, 0))[1]} tokens of it: one and the drafts."
            )
        self.checked[lane] = drafted, accepted

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
