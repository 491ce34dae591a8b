"""The engine's timeline: what every request did in every step, the token budget as it is filled, and the memory beside it."""

from course_lib.errors import ParameterError
from course_lib.trace.memory import TABLE_EVENTS, rows_of
from course_lib.trace.records import MEMORY_FIELDS
from course_lib.trace.schedule import COMPUTED, Schedule
from course_lib.viz.kit.base import View
from course_lib.viz.kit.inputs import count
from course_lib.viz.memory.view import drawn, memory_at, name, tell, texts_of, these

from .words import words_of

POLICIES = {"FCFS": "first come, first served", "Priority": "by priority", "Fair": "fair share per client"}
MOST_STEPS = 100_000
WEIGHTS = 1, 2  # of a prompt token and a written one in the service of a client, as in arXiv 2401.00588
STATES = {"prefill": "prefill", "decode": "decode", "again": "computes again", "idle": "runs, no tokens in this step", "waiting": "waits",
          "preempted": "preempted", "swapped": "swapped out"}  # fmt: skip


def timeline_view(trace, *, memory=True, clients=None):
    """A row for each request, a column for each step; above them the tokens of each step, below them the memory.

    trace: `Engine(...).trace`, a Trace that a scheduler of your own wrote or that was loaded from a file, or its records as a
        list. It may end anywhere; requests that never finish are drawn as far as it goes.
    memory: whether the memory view is shown, moved by the same player; where the trace holds none there is none to show.
    clients: True for all, or a list of names: colours go by client, and how many of their requests wait and how much
        service they got is drawn below. Service counts a prompt token once, when its request is first admitted, and a
        written one twice, as the Virtual Token Counter does (arXiv 2401.00588).
    `selected` is a request (its name in the trace), a physical block as ["block", 3], or None. Raises ParameterError for a trace
    that does not fit together.
    """
    rows = rows_of(trace, memory=False)
    if not any(row[1] in ("queue", "schedule") for row in rows):
        raise ParameterError("This trace says nothing of an engine or a scheduler, only of memory, if anything. memory_view(trace) shows "
                             "that; or record one that says who waits and who runs: Engine(model, config).trace.")  # fmt: skip
    memory = memory and any(row[1] in TABLE_EVENTS for row in rows)
    if memory and rows[0][1] != "start":
        rows_of(rows)  # says what is missing
    first, last = rows[0][0], rows[-1][0]
    if last - first >= MOST_STEPS:
        raise ParameterError(f"The records go from step {first:,} to step {last:,}, and a timeline has a column for each: {MOST_STEPS:,} "
                             f"at most. Count steps of the engine, not time; `trace.next_step()` does.")  # fmt: skip
    steps = [[] for _ in range(last - first + 1)]
    for index, row in enumerate(rows):
        steps[row[0] - first].append((index, row))
    schedule, says, sums, service, waiting = Schedule(first), [], [], [], []
    for records in steps:
        schedule.take(records)
        says.append(words_of(schedule) + _faults(schedule))
        sums.append(schedule.counts())
        service.append(
            {
                client: WEIGHTS[0] * prompt + WEIGHTS[1] * written
                for client, (prompt, written) in schedule.service.items()
            }
        )
        waiting.append(_waiting(schedule))
    inside = _memory(rows, first, steps, says) if memory else None
    known = list(schedule.service)
    shown = _clients(clients, known)
    policy, seats, budget = schedule.engine or (None, None, None)
    limits = [f"at most {count(budget, 'token')} in a step" if budget else "", count(seats, "seat") if seats else ""]
    data = {
        "title": "The engine, step by step",
        "subtitle": ", ".join(one for one in (POLICIES.get(policy, policy), *limits) if one) or count(len(schedule.lanes), "request"),
        "first": 1,
        "last": len(steps),
        "budget": budget,
        "seats": seats,
        "lanes": [[lane.name, known.index(lane.client), lane.num_prompt, lane.begin, lane.done, lane.spans, lane.priority]
                  for lane in schedule.lanes],
        "asked": [str(client) for client in known],
        "sums": sums,
        "clients": shown and [[known.index(client), *([one.get(client, 0) for one in steps] for steps in (service, waiting))]
                              for client in shown],
        "memory": inside,
        "columns": ["request", "client", "priority", "state", "tokens", "computed", "prompt"],
        "say": [[piece for number, one in enumerate(sentences) for piece in ([["", " "]] if number else []) + one] for sentences in says],
    }  # fmt: skip
    return TimelineView(data)


class TimelineView(View):
    """See `timeline_view`."""

    name = "timeline"
    noun = "timeline"

    def check_selected(self, selected):
        if selected is None:
            return None
        memory = self.data["memory"]
        if isinstance(selected, (list, tuple)) and len(selected) == 2 and selected[0] == "block" and memory:
            if type(selected[1]) is int and 0 <= selected[1] < memory["num_blocks"]:
                return list(selected)
            raise ParameterError(
                f"selected = {selected!r} is no block; there are blocks 0 to {memory['num_blocks'] - 1}."
            )
        names = [lane[0] for lane in self.data["lanes"]]
        if isinstance(selected, (str, int)) and not isinstance(selected, bool) and selected in names:
            return selected
        blocks = ', a block as ["block", 3]' if memory else ""
        raise ParameterError(f"selected = {selected!r} is no request of this trace; there are {', '.join(map(repr, names[:5]))}"
                             f"{' and more' if len(names) > 5 else ''}. Give one of them{blocks}, or None.")  # fmt: skip

    def _rows(self, step):
        found, at = [], step - 1
        for lane_name, client, prompt, _, done, spans, priority in self.data["lanes"]:
            span = next((one for one in spans if one[1] <= at < one[2]), None)
            if span is None:
                continue
            kind, start, end, number, counts = span
            here = 0 if kind not in COMPUTED else counts[at - start] if counts else 1
            computed = (
                number
                if kind not in COMPUTED
                else number + (sum(counts[: at - start + 1]) if counts else at - start + 1)
            )
            state = STATES[kind] + (f", then {done[1]}" if done and done[0] == at else "")
            found.append([name(lane_name), self.data["asked"][client], priority, state, here, computed, prompt])
        tokens, running, waiting = self.data["sums"][step - 1]
        return found + [["all", "", "", f"{running} run, {waiting} wait", tokens, "", ""]]

    def memory(self, step=None):
        """The replay.Memory after this step, or None where the view has none."""
        return self.data["memory"] and memory_at(self.data["memory"], self._at(step))

    def _poster(self):
        """The first step in which somebody made room, or else the one with most requests at once."""
        spans = [span for lane in self.data["lanes"] for span in lane[5] if span[0] in ("preempted", "swapped")]
        sums = self.data["sums"]
        return 1 + (min(span[1] for span in spans) if spans else max(range(len(sums)), key=lambda at: sums[at][1]))

    def _paint(self, step):
        from .still import paint

        return paint(self, step)


def _faults(schedule):
    """What a step broke: the limits that the trace itself names."""
    if schedule.engine is None:
        return []
    _, seats, budget = schedule.engine
    tokens, running, _ = schedule.counts()
    found = []
    if budget is not None and tokens > budget:
        found.append([["strong", f"{count(tokens, 'token')} are {tokens - budget:,} over the budget of {budget:,}."]])
    if seats is not None and running > seats:
        found.append([["strong", f"{running:,} requests run, and there are seats for {seats:,}."]])
    return found


def _waiting(schedule):
    """{client: how many of its requests wait}."""
    found = {}
    for lane in schedule.waiting:
        found[lane.client] = found.get(lane.client, 0) + 1
    return found


def _clients(wanted, known):
    if wanted is None or wanted is False:
        return None
    if wanted is True:
        return known
    wanted = [wanted] if isinstance(wanted, str) else list(wanted)
    for client in wanted:
        if client not in known:
            raise ParameterError(
                f"clients names {client!r}; the requests of this trace came from {', '.join(map(repr, known))}."
            )
    return wanted


def _memory(rows, first, steps, says):
    """What memory.js draws from, step by step as the timeline counts them. What memory did that a schedule does not tell joins `says`."""
    texts = texts_of(rows)
    own = [row for row in rows if row[1] in MEMORY_FIELDS and row[1] != "text"]
    cuts, at = [], 0
    for step in range(len(steps)):
        while at < len(own) and own[at][0] - first <= step:
            at += 1
        cuts.append(at)
    told, sums = tell(own, cuts, texts)
    for begin, end, sentences, (events, faults) in zip([0, *cuts], cuts, says, told):
        sentences += [words for kind, _, words in events if kind == "copy"][:1]
        if evicted := [block for row in own[begin:end] if row[1] == "evict" for block in row[2]]:
            blocks = these(evicted).capitalize() + (" is" if len(evicted) == 1 else " are")
            sentences.append([["strong", f"{blocks} evicted"], ["", " from the cache, to make room."]])
        sentences += [[["strong", fault]] for fault in faults]
    return drawn(own, cuts, texts, sums)
