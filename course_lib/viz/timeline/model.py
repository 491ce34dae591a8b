"""The data of the timeline: what every request did in every step, as a Schedule of course_lib.trace tells it."""

from course_lib.errors import ParameterError
from course_lib.trace.memory import cuts_at, memory_rows, texts_of
from course_lib.trace.schedule import Schedule, steps_of
from course_lib.viz.kit.format import count, joined
from course_lib.viz.memory.model import memory_data
from course_lib.viz.memory.words import words_beside_schedule

from .words import limits_broken, words_of

POLICIES = {"FCFS": "first come, first served", "Priority": "by priority", "Fair": "fair share per client"}
STATES = {
    "prefill": "prefill",
    "decode": "decode",
    "speculate": "decode, with drafts",
    "recompute": "recompute",
    "idle": "runs, no tokens in this step",
    "waiting": "waits",
    "preempted": "preempted",
    "swapped": "swapped out",
}
"""Kind of a span -> the request's state, as the table calls it."""
WEIGHTS = 1, 2  # of a prompt token and a generated one in the service of a client, as in arXiv 2401.00588


def timeline_data(rows, clients, memory_cuts):
    """What the browser draws from. memory_cuts: where the steps of the rows of memory end, None for no memory."""
    steps, schedule = steps_of(rows), Schedule()
    said, sums, service, waiting = [], [], [], []
    for records in steps:
        schedule.take(records)
        said.append(words_of(schedule) + limits_broken(schedule))
        sums.append(schedule.counts())
        service.append({client: _weighted(*tokens) for client, tokens in schedule.service.items()})
        waiting.append(_waiting(schedule))
    memory = None
    if memory_cuts is not None:
        memory, beside = memory_data(memory_rows(rows), memory_cuts, texts_of(rows), words_beside_schedule)
        for sentences, more in zip(said, beside):
            sentences += more
    known = list(schedule.service)
    shown = _chosen(clients, known)
    policy, max_num_seqs, budget = schedule.engine or (None, None, None)
    return {
        "title": "The engine, step by step",
        "subtitle": _subtitle(policy, max_num_seqs, budget) or count(len(schedule.lanes), "request"),
        "first": 1,
        "last": len(steps),
        "token_budget": budget,
        "max_num_seqs": max_num_seqs,
        "states": STATES,
        "lanes": [
            {
                "name": lane.name,
                "client": known.index(lane.client),
                "priority": lane.priority,
                "num_prompt": lane.num_prompt,
                "begin": lane.begin,
                "done": lane.done,
                "spans": lane.spans,
            }
            for lane in schedule.lanes
        ],
        "client_names": [str(client) for client in known],
        "sums": sums,
        "clients": shown
        and [
            {
                "client": known.index(client),
                "service": [one.get(client, 0) for one in service],
                "waiting": [one.get(client, 0) for one in waiting],
            }
            for client in shown
        ],
        "memory": memory,
        "columns": ["request", "client", "priority", "state", "tokens", "computed", "prompt"],
        "say": list(map(joined, said)),
    }


def steps_of_memory(rows):
    """(rows of memory, where the timeline's steps end in them)."""
    own = memory_rows(rows)
    return own, cuts_at(own, range(rows[0][0], rows[-1][0] + 1))


def _weighted(prompt, generated):
    return WEIGHTS[0] * prompt + WEIGHTS[1] * generated


def _waiting(schedule):
    """{client: how many of its requests wait}."""
    found = {}
    for lane in schedule.waiting:
        found[lane.client] = found.get(lane.client, 0) + 1
    return found


def _chosen(wanted, known):
    """The clients that are shown, or None."""
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


def _subtitle(policy, max_num_seqs, budget):
    limits = [count(number, noun) for number, noun in ((budget, "token"), (max_num_seqs, "sequence")) if number]
    parts = [POLICIES.get(policy, policy), f"at most {' and '.join(limits)} a step" if limits else None]
    return ", ".join(part for part in parts if part)
