"""Finds the cost model of a machine from the steps of a short run: what each step did, and how long it took.

    cost, steps = calibrate(engine, clock)          # a run with steps of many kinds, then fit(steps)

The fit is the least squares with no negative cost: it minimises the sum of (predicted - measured)² / measured. So an
error of one millisecond counts more in a short step than in a long one, and in all the total time is met well.
"""

import time
from collections import deque
from dataclasses import fields, replace
from itertools import combinations

import numpy as np

from course_lib.errors import ParameterError

from .arrivals import ClosedLoop
from .cost import KNOWN, NARROW, CostModel, StepWork, parts, work_of
from .drive import drive
from .feed import Feed
from .lengths import Fixed, Lengths, LogNormal, Uniform
from .workload import Workload

COSTS = tuple(field.name for field in fields(CostModel) if field.name not in KNOWN)


class StepTimer:
    """Runs an engine's steps and notes (StepWork, seconds) of each, in `steps`.

    Where steps overlap (async_scheduling), a step lasts from the end of the one before it to its own end. clock: that
    of the engine.
    """

    def __init__(self, engine, clock=time.perf_counter):
        self.engine, self.clock, self.steps = engine, clock, []
        self._under_way, self._began = deque(), None
        schedule = engine.scheduler.schedule

        def noted():
            step = schedule()
            if step.scheduled:
                self._under_way.append(work_of(step))
            return step

        engine.scheduler.schedule = noted

    def stop(self):
        """Leaves the engine as it was before."""
        del self.engine.scheduler.schedule

    def step(self):
        """engine.step(), timed."""
        if not self._under_way:
            self._began = self.clock()
        outputs = self.engine.step()
        now = self.clock()
        if len(self._under_way) > self.engine.has_steps_in_flight():
            self.steps.append((self._under_way.popleft(), now - self._began))
            self._began = now
        return outputs


def calibration_workloads(context, most_users, *, seed=0):
    """Workloads whose steps are of many kinds: few and many sequences, short and long ones, prompts of all lengths.

    Closed loops, so that they fit a machine of any speed. context: most tokens of a request. most_users: most requests
    at the same time.
    """
    short = Lengths(LogNormal(max(1.0, context / 40), 1.0, high=context), Uniform(2, max(2, context // 40)))
    long = Lengths(Uniform(max(1, context // 10), max(1, context // 2)), Fixed(4))
    sizes = [users for users in (1, 2, 4, 8, 16, 32, 64, 128, 256) if users <= most_users]
    for users in sizes:
        yield Workload(ClosedLoop(users), short, num_requests=2 * users + 2, context=context, client=f"{users} users",
                       seed=seed)  # fmt: skip
    for users in sizes[:3]:
        yield Workload(ClosedLoop(users), long, num_requests=4 * users, context=context, client=f"{users} long",
                       seed=seed)  # fmt: skip


def calibrate(engine, clock, *, context=None, seed=0):
    """(CostModel, steps): serves the calibration workloads on an engine, and fits.

    engine: made with clock=clock, and warm: it has served something before. clock: a WallClock or ProcessorClock.
    context: most tokens of a request; default: as many as the engine can hold. It takes some seconds to a minute.
    steps: (StepWork, seconds) of each, for `prediction_error`.
    """
    room = engine.allocator.num_blocks * engine.config.block_size
    context = min(engine.model.config.context, room // 2, context or room)
    timer = StepTimer(engine, clock)
    for workload in calibration_workloads(context, min(engine.config.max_num_seqs, 256), seed=seed):
        workload = replace(workload, vocab_size=engine.model.config.vocab_size)
        drive(engine, Feed(workload), clock, step=timer.step)
    timer.stop()
    return fit(timer.steps), timer.steps


def fit(steps, *, known=None):
    """The CostModel that is nearest to measured steps.

    steps: (StepWork, seconds) of each. known: {"per_kv_token": seconds, ...}: costs that are given, from `roofline` for
    example, because these steps cannot tell them apart; and "width", "narrow" and "ridge" of the machine: with a width
    per_prompt and per_longest are found too. Raises ParameterError, with the names, if the steps cannot tell the other
    costs apart: in steps of pure decoding, each sequence has one token.
    """
    known = dict(known or {})
    machine = {name: known.pop(name) for name in KNOWN if name in known}
    if "width" not in machine:
        known = {"per_longest": 0.0, "per_prompt": 0.0} | known
    if not known.keys() <= set(COSTS):
        raise ParameterError(f"known names {sorted(known.keys() - set(COSTS))}; the costs are {', '.join(COSTS)}.")
    wanted = [name for name in COSTS if name not in known]
    work, seconds = _columns(steps, len(wanted) + 1, **machine)
    rest = seconds - sum(work[:, COSTS.index(name)] * value for name, value in known.items())
    weights = 1 / np.sqrt(seconds)
    matrix, target = work[:, [COSTS.index(name) for name in wanted]] * weights[:, None], rest * weights
    _check_rank(matrix, wanted)
    found = dict(zip(wanted, nonnegative_least_squares(matrix, target).tolist()))
    return CostModel(**known, **found, **machine)


def _columns(steps, at_least, width=1, narrow=NARROW, ridge=0):
    """(work float64 [num_steps, 9], seconds float64 [num_steps]), a column for each of COSTS."""
    seconds = np.array([measured for _, measured in steps], dtype=float)
    if len(seconds) < at_least or not (seconds > 0).all():
        raise ParameterError(
            f"{len(seconds)} steps were measured, the shortest in {seconds.min(initial=np.inf):g} s. This fit needs at "
            f"least {at_least} steps, all above 0 s: run longer."
        )
    work = np.array([StepWork(*work) for work, _ in steps], dtype=float)
    num_tokens, num_sequences, kv_tokens, num_pairs, longest = work.T
    few = np.minimum(num_tokens, narrow)
    beyond = np.maximum(0, num_tokens - ridge)
    columns = [np.ones(len(work)), num_tokens > 1, few, num_sequences, beyond, kv_tokens, num_pairs]
    columns.append(num_pairs > 0)
    columns.append(longest / [parts(width, int(n)) for n in num_sequences])
    return np.stack(columns, axis=1), seconds


def _check_rank(matrix, names):
    scale = np.linalg.norm(matrix, axis=0)
    never = [name for name, size in zip(names, scale) if size == 0]
    if never:
        raise ParameterError(
            f"No step has anything that {never[0]} is the cost of, so it cannot be measured. Serve a workload whose "
            f"steps have it, or give known={{{never[0]!r}: 0.0}}."
        )
    if names and np.linalg.matrix_rank(matrix / scale, tol=1e-6 * np.sqrt(len(matrix))) < len(names):
        raise ParameterError(
            f"These steps cannot tell {', '.join(names)} apart: in all of them, what the costs are for grows together. "
            f"Vary the number of requests and their lengths, or give some of them in `known`."
        )


def nonnegative_least_squares(matrix, target):
    """The x >= 0 with the smallest |matrix @ x - target|: float64 [columns]. For few columns.

    The smallest is the least squares solution over some of the columns, with 0 for the others. So all subsets of the
    columns are tried, and the best one without a negative number is taken.
    """
    num_columns, best, best_error = matrix.shape[1], np.zeros(matrix.shape[1]), float(target @ target)
    scale = np.linalg.norm(matrix, axis=0)
    for size in range(1, num_columns + 1):
        for chosen in map(list, combinations(range(num_columns), size)):
            found = np.linalg.lstsq(matrix[:, chosen] / scale[chosen], target, rcond=None)[0] / scale[chosen]
            rest = matrix[:, chosen] @ found - target
            if (found >= 0).all() and rest @ rest < best_error:
                best, best_error = np.zeros(num_columns), float(rest @ rest)
                best[chosen] = found
    return best


def prediction_error(cost, steps):
    """Mean |predicted - measured| over the mean measured time of the steps: 0.1 is 10 %."""
    predicted = np.array([cost.seconds(*work) for work, _ in steps])
    measured = np.array([seconds for _, seconds in steps])
    return float(np.abs(predicted - measured).sum() / measured.sum())
