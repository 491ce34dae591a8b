"""For 11.token_budget and 11.chunked_prefill: trials of a function that chooses one step, or each step of a script."""

import random

from course_lib.engine import Scheduler, Step
from course_lib.engine.request import Request
from course_lib.errors import IntegrityError
from course_lib.practice.judge.exercise import Trial
from course_lib.practice.judge.outcome_text import a_kind
from course_lib.practice.judge.scripts import Arrival, Script, script_trial
from course_lib.practice.report.timeline_text import Timeline


def request(name, num_tokens, num_computed_tokens=0):
    """A Request with this many tokens, of which the first num_computed_tokens are computed.

    The last of several is output, as of a request that decodes, or was preempted and waits again.
    """
    made = Request(name, [0] * max(1, num_tokens - 1))
    made.token_ids += [0] * (num_tokens - len(made.token_ids))
    made.num_computed_tokens = num_computed_tokens
    return made


def pairs(chosen):
    """What an answer chose, as [(request, n)]. Raises IntegrityError where it is no such list."""
    if not isinstance(chosen, (list, tuple)):
        raise IntegrityError(f"{a_kind(chosen)} was returned; return a list of pairs (request, n).")
    for pair in chosen:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise IntegrityError(f"Each entry is a pair (request, n), and one of them is {a_kind(pair)}.")
        if not isinstance(pair[0], Request):
            raise IntegrityError(f"Each pair begins with a request, and one begins with {a_kind(pair[0])}.")
        if isinstance(pair[1], bool) or not isinstance(pair[1], int):
            raise IntegrityError(f"{pair[0].request_id} is given {pair[1]!r}; give it a number of tokens.")
    return [tuple(pair) for pair in chosen]


def scheduler_of_choice(choose):
    """A class of schedulers in which a function chooses; for an engine with enough blocks for all requests.

    choose(running, waiting, token_budget, max_num_seqs) -> list of (request, n). A request of `waiting` that is chosen
    runs from then on. Raises IntegrityError for a request that is chosen twice or is in neither list, and where memory
    is short.
    """

    class Chosen(Scheduler):
        def schedule(self):
            step = Step(self.config.max_num_batched_tokens)
            waiting = [self.waiting.pop() for _ in range(len(self.waiting))]
            left = {id(r): r for r in [*self.running.values(), *waiting]}
            for chosen, n in pairs(
                choose(list(self.running.values()), waiting[:], step.token_budget, self.config.max_num_seqs)
            ):
                if left.pop(id(chosen), None) is None:
                    raise IntegrityError(f"{chosen.request_id} is chosen twice, or neither runs nor waits.")
                slots = self.manager.allocate_slots(chosen, n)
                if slots is None:
                    raise IntegrityError(f"No free blocks for {n} tokens of {chosen.request_id}; raise num_blocks.")
                if chosen.request_id not in self.running:
                    self._start(chosen, 0, chosen.num_computed_tokens, slots, step)
                step.add(chosen, n)
            for other in waiting:
                if other.request_id not in self.running:
                    self.waiting.push(other)
            if self.trace is not None and step.scheduled:
                self._record(step)
            return step

    return Chosen


def serve_choice(choose, arrivals, *, token_budget, max_num_seqs):
    """The Timeline of a script of Arrivals, in which the function chooses each step; without a model and memory limits.

    The timeline ends at the first step against the rules: more tokens than the budget or than a request has left, no
    token for a request, or more than max_num_seqs requests.
    """
    line, waiting, running = Timeline(), [], []
    script = Script(tuple(arrivals))
    for now in range(script.most_steps):
        waiting += [arrival.request(number) for number, arrival in enumerate(arrivals) if arrival.step == now]
        chosen = pairs(choose(running[:], waiting[:], token_budget, max_num_seqs))
        cells = {r.request_id: "-" for r in running} | {r.request_id: "W" for r in waiting}
        for r, n in chosen:
            if cells.get(r.request_id, "")[:1] not in ("-", "W"):
                raise IntegrityError(f"In step {now} {r.request_id} is chosen twice, or neither runs nor waits.")
            cells[r.request_id] = f"P{n}" if r.num_computed_tokens < r.num_prompt_tokens else "D" if n == 1 else f"D{n}"
        line.column(cells, {"tokens": sum(n for _, n in chosen)})
        for r in [r for r, _ in chosen if r in waiting]:
            waiting.remove(r)
            running.append(r)
        if (
            sum(n for _, n in chosen) > token_budget
            or len(running) > max_num_seqs
            or any(not 1 <= n <= r.num_tokens - r.num_computed_tokens for r, n in chosen)
        ):
            return line
        for r, n in chosen:
            r.num_computed_tokens += n
            if r.num_computed_tokens == r.num_tokens:
                r.append(500)
        running = [r for r in running if r.finish_reason is None]
        over = now >= max(arrival.step for arrival in arrivals)
        if over and (not chosen or not running and not waiting):
            return line
    return line


# --- trials ---

IMPORT = "from course_lib.practice.play import "


def called(name, running, waiting, token_budget, max_num_seqs, note="", keeps=False):
    """The Trial of one call. running, waiting: (name, num_tokens, num_computed_tokens) of each.

    keeps: whether the lists and requests are compared after the call, and not the choice.
    """

    def act(answer):
        lists = [[request(*one) for one in some] for some in (running, waiting)]
        before = state(*lists)
        chosen = [(r.request_id, n) for r, n in pairs(answer(*lists, token_budget, max_num_seqs))]
        return state(*lists) if keeps and state(*lists) != before else "as they were" if keeps else chosen

    written = [
        ", ".join(f'request("{one[0]}", {", ".join(map(str, one[1:]))})' for one in some) for some in (running, waiting)
    ]
    story = [
        f"{IMPORT}request",
        f"running = [{written[0]}]",
        f"waiting = [{written[1]}]",
        f"{name}(running, waiting, token_budget={token_budget}, max_num_seqs={max_num_seqs})",
    ]
    if keeps:
        story += ["running, waiting  # their contents after the call"]
    size = (
        10 * (len(running) + len(waiting))
        + sum(sum(one[1:]) for one in [*running, *waiting])
        + token_budget
        + max_num_seqs
    )
    return Trial(
        story,
        act,
        show=shown,
        note=note,
        size=size,
        explain=lambda expected, got: (
            "" if keeps else said(expected, got, [*running, *waiting], len(running), token_budget, max_num_seqs)
        ),
    )


def state(running, waiting):
    return [[(r.request_id, r.num_tokens, r.num_computed_tokens) for r in some] for some in (running, waiting)]


def shown(chosen):
    if isinstance(chosen, list) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in chosen):
        return "[" + ", ".join(f"({name}, {n})" for name, n in chosen) + "]"
    return str(chosen)


def said(expected, got, requests, num_running, token_budget, max_num_seqs):
    """A sentence on the first rule that the choice breaks, or on the first difference."""
    to_do = {name: tokens - (computed[0] if computed else 0) for name, tokens, *computed in requests}
    total, names = sum(n for _, n in got), [name for name, _ in got]
    if total > token_budget:
        return f"That is {total} tokens in one step, and the budget is {token_budget}."
    for name, n in got:
        if n < 1:
            return f"`{name}` is given {n} tokens: a request that computes no token is left out of the step."
        if n > to_do.get(name, n):
            return f"`{name}` is given {n} tokens, and only {to_do[name]} of its tokens are not computed."
        if names.count(name) > 1:
            return f"`{name}` is in the step {names.count(name)} times."
    newcomers = len({name for name, _ in got} - {name for name, *_ in requests[:num_running]})
    if num_running + newcomers > max_num_seqs:
        return f"{num_running} run and {newcomers} are admitted, and max_num_seqs is {max_num_seqs}."
    if sorted(expected) == sorted(got):
        return (
            "The right requests and tokens, in the wrong order: first the running requests in their order, then "
            "the admitted ones."
        )
    missing = [name for name, _ in expected if name not in names]
    return f"`{missing[0]}` is not in the step." if missing else ""


def day(name, arrivals, token_budget, max_num_seqs, least=None):
    """The Trial of a script: arrivals as (name, step, prompt, max_tokens)."""
    script = Script(
        tuple(Arrival(*arrival) for arrival in arrivals), {"token_budget": token_budget, "max_num_seqs": max_num_seqs}
    )
    return script_trial(
        lambda answer, script: serve_choice(answer, script.arrivals, **script.setup),
        script,
        "serve_choice({answer}, {arrivals}, {setup})",
        name,
        imports=f"{IMPORT}Arrival, serve_choice",
        least=least,
    )


def random_days(name, number, seed, *, longest, budgets, least=None):
    """Trials of random scripts. longest: tokens of a prompt at most; budgets: what token_budget is drawn from."""
    chance, days = random.Random(seed), []
    for _ in range(number):
        arrivals = [
            (letter, chance.randint(0, 6), chance.randint(1, longest), chance.randint(1, 5))
            for letter in "abcdef"[: chance.randint(2, 6)]
        ]
        days.append(day(name, arrivals, chance.choice(budgets), chance.randint(1, 4), least=least))
    return days
