"""Policies against each other, in the simulator: the same requests under each, and how long first tokens take.

    contest(MyPolicy)        a table: MyPolicy, those of the course, four workloads

Everything follows from seeds, so a run gives the same numbers on every machine.
"""

from dataclasses import dataclass, field
from functools import cache
from weakref import WeakKeyDictionary

from course_lib.engine import EngineConfig, Policy
from course_lib.engine.policies import FCFS, Fair
from course_lib.errors import CourseError, IntegrityError, ParameterError
from course_lib.practice.check import Shown
from course_lib.workload import CostModel, Gamma, Lengths, LogNormal, Poisson, Uniform, Workload
from course_lib.workload.simulate import simulate

COST = CostModel(per_step=0.008, per_token=2e-5, per_kv_token=1e-7)
"""About an 8B model on one GPU."""
GAIN, LONGEST, WINS = 85, 2.0, 5
"""The goal: percent of FCFS's mean, times FCFS's longest, and on how many workloads."""


class Shortest(Policy):
    """The request with the least work goes first, however long others have waited."""

    def key(self, request):
        return request.num_prompt_tokens / 4 + request.params.max_tokens


COURSE = {"Fair": Fair, "Shortest": Shortest}


def workloads(kind, seed, requests=140, load=1.0):
    """The Workloads of one kind. load: 1.1 is a tenth more requests a second."""

    def client(arrivals, prompt, output, share=1.0, name="default", offset=0):
        lengths = Lengths(prompt=prompt, output=output)
        return Workload(arrivals, lengths, num_requests=int(share * requests), client=name, seed=seed + offset)

    few, many = LogNormal(120, 1.0, 8, 1500), LogNormal(60, 0.9, 4, 400)
    return {
        "chat": lambda: [client(Gamma(21 * load, 0.5), few, many)],
        "documents": lambda: [
            client(Poisson(5 * load), Uniform(800, 2400), Uniform(60, 200), 0.25, "documents"),
            client(Poisson(18 * load), Uniform(16, 100), Uniform(8, 60), 0.9, "chat", 1000),
        ],
        "bursts": lambda: [client(Gamma(20 * load, 0.05), LogNormal(150, 1.1, 8, 2000), LogNormal(50, 1.0, 4, 500))],
        "long answers": lambda: [client(Poisson(11 * load), LogNormal(60, 0.8, 8, 600), LogNormal(120, 1.0, 4, 800))],
        "code": lambda: [client(Gamma(21 * load, 0.3), LogNormal(700, 0.8, 64, 3000), LogNormal(24, 1.0, 1, 300))],
        "reports": lambda: [
            client(Poisson(9 * load), Uniform(16, 200), Uniform(4, 40), 0.5, "questions"),
            client(Poisson(5 * load), Uniform(16, 200), Uniform(200, 500), 0.25, "reports", 1000),
        ],
        "calm": lambda: [client(Poisson(4 * load), few, many, 0.5)],
    }[kind]()


PRACTICE = {"chat": ("chat", 1), "documents": ("documents", 2), "bursts": ("bursts", 3), "calm": ("calm", 4)}
"""{name: (kind, seed)} of the workloads that a learner can see."""


@dataclass(frozen=True)
class Waits:
    """Times to first token on one workload, in seconds."""

    mean: float
    longest: float


def waits(policy, kind, seed, load=1.0):
    """The Waits of a policy, a class, on a workload. Raises CourseError where it loses requests."""
    ttfts, given = [], workloads(kind, seed, load=load)
    config = EngineConfig(
        num_blocks=900, max_num_seqs=16, max_num_batched_tokens=512, policy=policy, prefix_caching=False
    )  # fmt: skip
    try:
        simulate(given, config, COST, on_finish=lambda arrival, metrics: ttfts.append(metrics.ttft))
    except IntegrityError:  # nothing is scheduled although requests are unfinished: they wait nowhere
        pass
    wanted = sum(one.num_requests for one in given)
    if len(ttfts) != wanted:
        raise CourseError(f"{len(ttfts)} of {wanted} requests were served: the policy has lost the others.")
    return Waits(sum(ttfts) / wanted, max(ttfts))


@cache
def fcfs(kind, seed, load=1.0):
    """The Waits of first come, first served."""
    return waits(FCFS, kind, seed, load)


_known = WeakKeyDictionary()
"""{class of policies: {workload: (percent, times)}}: both goals of a check look at the same runs."""


def against_fcfs(policy, kind, seed, load=1.0):
    """(mean in percent of FCFS's, rounded; longest in times FCFS's, rounded to tenths) on a workload."""
    known = _known.setdefault(policy, {})
    if (kind, seed, load) not in known:
        mine, other = waits(policy, kind, seed, load), fcfs(kind, seed, load)
        known[kind, seed, load] = round(100 * mine.mean / other.mean), round(mine.longest / other.longest, 1)
    return known[kind, seed, load]


@dataclass(frozen=True, repr=False)
class Contest(Shown):
    """The table of a contest. As text it is the same table."""

    rows: list
    """(workload, policy, mean in percent of FCFS's, longest in times FCFS's)"""
    won: list = field(default_factory=list)
    """Whether each row reaches both goals."""

    COLUMNS = ("workload", "policy", "mean TTFT, FCFS = 100 %", "longest TTFT, FCFS = 1", "goal")

    @property
    def cells(self):
        return [
            (name, policy, f"{percent} %", f"{times:.1f}", "reached" if won else "starves" if times > LONGEST else "–")
            for (name, policy, percent, times), won in zip(self.rows, self.won)
        ]

    def __str__(self):
        table = [self.COLUMNS, *self.cells]
        wide = [max(len(row[at]) for row in table) for at in range(len(self.COLUMNS))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, wide)).rstrip() for row in table]
        return "\n".join([lines[0], "  ".join("-" * width for width in wide), *lines[1:]])

    __repr__ = __str__

    def _repr_html_(self):
        from course_lib.practice.report.table import table_card

        about = f"goal: mean at most {GAIN} %, longest at most {LONGEST:g} times"
        return table_card("The contest", about, self.COLUMNS, self.cells, numbers=(2, 3))


def contest(*policies):
    """The Contest of these classes of policies, and of those of the course, on the four workloads that can be seen.

    Raises ParameterError for something that is no class.
    """
    for policy in policies:
        if not isinstance(policy, type):
            raise ParameterError(f"{policy!r} is no class. Pass the class itself: contest(YourPolicy).")
    named = [(policy.__name__, policy) for policy in policies] + list(COURSE.items())
    rows = [
        (name, title, *against_fcfs(policy, kind, seed))
        for name, (kind, seed) in PRACTICE.items()
        for title, policy in named
    ]
    return Contest(rows, [percent <= GAIN and times <= LONGEST for *_, percent, times in rows])
