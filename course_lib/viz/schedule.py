"""What an engine decided, replayed: a lane for each request, with what it did in every step. Plain lists, no torch.

The records are those of course_lib/trace.py, as rows: [step, event, field, ...]. Steps are counted from 0 at the first record.
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
from course_lib.viz.given import count

COMPUTED = ("prefill", "decode", "again")
STANDING = ("waiting", "preempted", "swapped")


class Lane:
    """One request. client, num_prompt: as `queue` said, None where nobody did. known: tokens it has, as far as the trace tells;
    done: (step before which it ended, reason) or None. parent: the lane that it was forked from."""

    def __init__(self, name, number, begin, client, num_prompt, state="waiting", computed=0, known=None, parent=None):
        self.name, self.number, self.begin, self.client, self.num_prompt = name, number, begin, client, num_prompt
        self.state, self.computed, self.parent = state, computed, parent
        self.known = num_prompt if known is None else known
        self.kept = self.lost = 0  # tokens in CPU memory; tokens that were thrown away
        self.spans, self.done, self.admitted = [], None, False

    def extend(self, step, kind, start, number):
        """One step more: number tokens from `start` on."""
        last = self.spans[-1] if self.spans else None
        if last and last[0] == kind and last[2] == step:
            if kind not in COMPUTED or (kind == "decode" and number == 1 and not last[4]):
                last[2] += 1
                return
            if last[4] and last[3] + sum(last[4]) == start:
                last[2] += 1
                last[4].append(number)
                return
        counts = [number] if kind in COMPUTED and not (kind == "decode" and number == 1) else 0
        self.spans.append([kind, step, step + 1, start, counts])


class Schedule:
    """Lanes, step by step. lanes: all of them, in the order in which they came; service: {client: [prompt tokens, written tokens]}.

    engine: (policy, max_num_seqs, max_num_batched_tokens), None where the trace does not say. After `take(rows)` of a step,
    `happened` holds what it did, a list of (event, lane, more), and `batch` the lanes that it computed, {lane: (start, count)}.
    """

    def __init__(self, first):
        self.first, self.step = first, -1
        self.lanes, self.live, self.by_name = [], {}, {}  # live: lanes by number; by_name: the newest of a name
        self.engine, self.service = None, {}
        self.batch, self.happened = {}, []

    def take(self, rows):
        """One step. rows: its records, as (index, row). Raises ParameterError for one that does not fit those before it."""
        self.step += 1
        self.batch, self.happened = {}, []
        for index, (_, event, *fields) in rows:
            handle = getattr(self, "_on_" + event, None)
            if handle:
                handle(index, *fields)
        for lane, (start, number) in self.batch.items():
            prompt = lane.num_prompt or 0
            kind = "again" if start < lane.lost else "prefill" if start < prompt else "decode"
            lane.extend(self.step, kind, start, number)
        for lane in self.live.values():
            if lane not in self.batch and lane.begin <= self.step:
                if lane.state == "running":
                    lane.extend(self.step, "idle", lane.computed, 0)
                else:
                    lane.extend(self.step, lane.state, lane.kept, 0)
        for _, lane, _ in [one for one in self.happened if one[0] == "finish"]:
            lane.done = [self.step + (lane in self.batch), lane.done[1]]

    def counts(self):
        """[tokens in this step, requests that run, requests that wait]."""
        running = sum(lane.state == "running" for lane in self.live.values())
        return [sum(number for _, number in self.batch.values()), running, len(self.live) - running]

    def _on_engine(self, index, policy, seats, budget):
        self.engine = policy, seats, budget

    def _on_queue(self, index, request, client, priority, num_tokens):
        if request in self.by_name and self.by_name[request].done is None:
            raise ParameterError(f"record {index} queues request {request!r}, which is being served already. Give each request "
                                 f"a name of its own, or write `finish` first.")
        if type(num_tokens) is not int or num_tokens < 0:
            raise ParameterError(f"record {index} queues request {request!r} with num_tokens = {num_tokens!r}; it counts the "
                                 f"tokens of its prompt, a whole number.")
        self._open(Lane(request, len(self.lanes), self.step, client, num_tokens))
        self.service.setdefault(client, [0, 0])

    def _open(self, lane):
        self.lanes.append(lane)
        self.live[lane.number] = self.by_name[lane.name] = lane
        self.happened.append(("queue" if lane.parent is None else "fork", lane, lane.parent))

    def _on_fork(self, index, request, parent):
        other = self.by_name.get(parent)
        if other is None or other.done is not None:
            return  # of tables only: nobody scheduled the parent
        lane = Lane(request, len(self.lanes), self.step + 1, other.client, other.num_prompt, "running", other.computed, other.known, other)
        lane.admitted = True
        self._open(lane)
        if other in self.batch:
            self._serve(lane, written=1)

    def _on_schedule(self, index, requests, starts, counts):
        if not len(requests) == len(starts) == len(counts):
            raise ParameterError(f"record {index} schedules {len(requests)} requests with {len(starts)} starts and {len(counts)} "
                                 f"counts. Each request needs one of both.")
        for request, start, number in zip(requests, starts, counts):
            lane = self._lane(index, request, "schedules")
            if type(start) is not int or type(number) is not int or start < 0 or number < 1:
                raise ParameterError(f"record {index} schedules {number!r} tokens of request {request!r} from number {start!r} on. "
                                     f"A request in the batch has at least one token, and they are counted from 0.")
            if lane in self.batch:
                raise ParameterError(f"record {index} schedules request {request!r} twice in one step. Put its tokens together.")
            if lane.state != "running":
                self.happened.append(("join", lane, (lane.state, start, number)))
            lane.state, lane.kept, lane.computed = "running", 0, start + number
            self.batch[lane] = start, number
            if not lane.admitted:
                lane.admitted = True
                self._serve(lane, prompt=lane.num_prompt)
            if lane.computed >= lane.known:
                lane.known = lane.computed + 1
                self._serve(lane, written=1)

    def _serve(self, lane, prompt=0, written=0):
        had = self.service.setdefault(lane.client, [0, 0])
        had[0] += prompt
        had[1] += written

    def _on_preempt(self, index, request, how, num_tokens):
        lane = self._lane(index, request, "preempts")
        if lane.state != "running":
            raise ParameterError(f"record {index} preempts request {request!r}, which does not run: it is {lane.state}. Only who "
                                 f"runs can make room.")
        if lane in self.batch:  # the step broke off after it was scheduled: it counts as not computed
            start, _ = self.batch.pop(lane)
            lane.computed = start
        lane.state = "swapped" if how == "swap" else "preempted"
        lane.kept = lane.computed if how == "swap" else 0
        lane.lost = max(lane.lost, num_tokens)
        self.happened.append(("preempt", lane, num_tokens))

    def _on_swap(self, index, request, direction, num_tokens):
        lane = self._lane(index, request, "swaps")
        if direction == "out":
            lane.kept = num_tokens
        self.happened.append(("swap " + direction, lane, num_tokens))

    def _on_finish(self, index, request, reason):
        lane = self._lane(index, request, "finishes")
        del self.live[lane.number]
        lane.done = [self.step, reason]
        self.happened.append(("finish", lane, reason))

    def _lane(self, index, request, does):
        lane = self.by_name.get(request)
        if lane is None:
            raise ParameterError(f"record {index} {does} request {request!r}, which never came: no `queue` and no `fork` before it "
                                 f"names it. Give the trace from its beginning.")
        if lane.done is not None:
            raise ParameterError(f"record {index} {does} request {request!r}, which is done since step {lane.done[0]} "
                                 f"({lane.done[1]}). Take it out of `running` when it finishes.")
        return lane


def said(lanes, most=5):
    """"R0, R1 and R2" of lanes, or "R0, R1 and 7 more"."""
    from course_lib.viz.memory import name

    names = [name(lane.name) for lane in lanes]
    if len(names) > most:
        names = names[: most - 1] + [f"{len(names) - most + 1} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def tokens_of(lane, start, number):
    """"prompt tokens 8–15 of 20", or "token 20" behind the prompt."""
    last = start + number - 1
    which = f"token {start}" if number == 1 else f"tokens {start}–{last}"
    return f"prompt {which} of {lane.num_prompt}" if lane.num_prompt and last < lane.num_prompt else which


def words_of(schedule):
    """What the step did, as [kind, text] pieces: who came, who made room, who joined, who computed, who is done."""
    done = {event: [(lane, more) for kind, lane, more in schedule.happened if kind == event]
            for event in ("queue", "fork", "preempt", "join", "swap in", "swap out", "finish")}
    kept, rest = [], []
    joined = {lane for lane, _ in done["join"]}
    came = [lane for lane, _ in done["queue"]]
    if came:
        here = [lane for lane in came if lane not in joined]
        if here:
            kept.append([["strong", f"{said(here)} come{'s' * (len(here) == 1)}"], ["", " and wait" + "s" * (len(here) == 1) + "."]])
    for how in ("recompute", "swap"):
        out = [(lane, lost) for lane, lost in done["preempt"] if (lane in {one for one, _ in done["swap out"]}) == (how == "swap")]
        if out:
            lanes, one = [lane for lane, _ in out], len(out) == 1
            lost = count(sum(lost for _, lost in out) if how == "recompute" else sum(more for lane, more in done["swap out"]), "token")
            fate = f"{lost} thrown away" if how == "recompute" else f"{lost} copied to CPU memory"
            kept.append([["strong", f"{said(lanes)} make{'s' * one} room"], ["", f": {fate}."]])
    first = [(lane, more) for lane, more in done["join"] if more[0] == "waiting"]
    for lane, (_, start, number) in first[:2] if len(first) < 4 else []:
        hit = f", {start} of its tokens found in the cache," if start else ""
        kept.append([["strong", f"{said([lane])} joins"], ["", f"{hit} with {tokens_of(lane, start, number)}."]])
    if len(first) > 2:
        lanes = [lane for lane, _ in (first if len(first) > 3 else first[2:])]
        hits = sum(start for _, (_, start, _) in first)
        found = f", {count(hits, 'token')} of them found in the cache" if hits and len(first) > 3 else ""
        kept.append([["strong", f"{said(lanes)} join{'s' * (len(lanes) == 1)}"], ["", f" with {count(sum(schedule.batch[lane][1] for lane in lanes if lane in schedule.batch), 'token')}{found}."]])
    back = [lane for lane, more in done["join"] if more[0] != "waiting"]
    for lane in back[:2]:
        swapped = [more for one, more in done["swap in"] if one is lane]
        how = f", {count(swapped[0], 'token')} copied in from CPU memory." if swapped else f" and computes {tokens_of(lane, *schedule.batch[lane])} again." if lane in schedule.batch else "."
        kept.append([["strong", f"{said([lane])} comes back"], ["", how]])
    if back[2:]:
        kept.append([["strong", f"{said(back[2:])} come back"], ["", " too."] if len(back) > 3 else ["", "."]])
    going = {lane: one for lane, one in schedule.batch.items() if lane not in joined}
    chunks = [lane for lane in going if lane.spans and lane.spans[-1][0] != "decode"]
    for lane in chunks[:2]:
        rest.append([["", f"{said([lane])} computes {tokens_of(lane, *going[lane])}."]])
    if chunks[2:]:
        rest.append([["", f"{said(chunks[2:])} compute chunks too."]])
    decoding = [lane for lane in going if lane not in chunks]
    if decoding:
        more = any(going[lane][1] > 1 for lane in decoding)
        which = count(sum(going[lane][1] for lane in decoding), "token") if more else "one token each" if len(decoding) > 1 else "one token"
        rest.append([["", f"{said(decoding)} decode{'s' * (len(decoding) == 1)} {which}."]])
    for lane, parent in done["fork"][:2]:
        rest.append([["", f"{said([lane])} parts from {said([parent])}."]])
    for reason in dict.fromkeys(more for _, more in done["finish"]):
        lanes = [lane for lane, more in done["finish"] if more == reason]
        ended = "aborted" if reason == "abort" else "done"
        rest.append([["strong", f"{said(lanes)} {'is' if len(lanes) == 1 else 'are'} {ended}"], ["", "." if reason == "abort" else f" ({reason})."]])
    return kept + rest or [[["", "Nothing is computed."]]]
