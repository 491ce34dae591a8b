"""The exercise 18.your_policy: a queue of one's own, against first come, first served on hidden workloads."""

from dataclasses import dataclass

from course_lib.engine.protocols import check_policy
from course_lib.errors import CourseError
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Exercise, Property, Trial

from .contest import GAIN, LONGEST, WINS, against_fcfs
from .policy_probe import pushed
from .solutions.your_policy import YourPolicy
from .your_policy_mistakes import MISTAKES
from .your_policy_right import AtMostFourOvertake, ResponseRatio

HIDDEN = {
    "chat": 51, "documents": 52, "bursts": 53, "long answers": 54, "code": 55, "reports": 56, "calm": 57,
}  # fmt: skip
"""{kind of workload: seed}"""


def named(request):
    return None if request is None else request.request_id


def queue(count, seed, act, lines, note):
    """The Trial of a queue by itself. act(policy, given): what is done to it, and what is compared."""

    def run(answer):
        policy, given = pushed(answer, count, seed)
        return act(policy, given)

    story = ["from course_lib.practice.play import pushed", f"policy, given = pushed(YourPolicy, {count}, seed={seed})"]
    return Trial([*story, *lines], run, note=note, size=count)


def drained(policy, given):
    """Takes all out. Raises CourseError where `peek` and `pop` differ."""
    taken = []
    while len(policy) and len(taken) <= len(given):
        first, again = policy.peek(), policy.peek()
        popped = policy.pop()
        if not popped or first is not popped or again is not popped:
            raise CourseError(f"peek() returned {named(first)}, then {named(again)}, and pop() took {named(popped)}.")
        taken.append(popped)
    return sorted(request.request_id for request in taken), len(policy), named(policy.peek())


def emptied(count, seed):
    lines = ["sorted(policy.pop().request_id for _ in given), len(policy), policy.peek()"]
    return queue(count, seed, drained, lines, "each request once")


def removed(count, seed, which):
    def act(policy, given):
        for at in which:
            policy.remove(given[at])
        return len(policy), drained(policy, given)

    lines = [f"for at in {which}:\n    policy.remove(given[at])", "len(policy)"]
    return queue(count, seed, act, lines, "the others stay")


def returned(count, seed):
    def act(policy, given):
        request = policy.pop()
        policy.push(request, returning=True)
        return len(policy), drained(policy, given)

    lines = ["policy.push(policy.pop(), returning=True)", "len(policy)"]
    return queue(count, seed, act, lines, "it was preempted, and waits again")


def fresh():
    """The Trial of a new policy, as an engine looks at it."""

    def act(answer):
        policy = check_policy(answer())
        return len(policy), policy.peek(), policy.order([])

    return Trial(["policy = YourPolicy()", "len(policy), policy.peek(), policy.order([])"], act, note="nobody waits")


def beside():
    """The Trial of a new policy while another one holds a request."""

    def act(answer):
        pushed(answer, 1)
        return len(answer())

    story = ["from course_lib.practice.play import pushed", "busy, given = pushed(YourPolicy, 1)", "len(YourPolicy())"]
    return Trial(story, act, note="the request waits in the other one", size=1)


@dataclass(frozen=True)
class Starves:
    """The outcome of a workload on which a request waits too long."""

    kind: str
    times: float

    def __repr__(self):
        return f"the longest time to first token is {self.times:.1f} times that of FCFS"


def patient(kind, seed):
    """The Trial of the longest wait on one workload."""

    def act(answer):
        _, times = against_fcfs(answer, kind, seed)
        return True if times <= LONGEST else Starves(kind, times)

    return Trial(
        ["from course_lib.practice.play import contest", "contest(YourPolicy)  # four workloads that you can see"],
        act,
        show=lambda got: f"at most {LONGEST:g} times the longest of FCFS" if got is True else repr(got),
        note=f"hidden workload: {kind}",
        explain=lambda expected, got: (
            "Which requests are passed by others again and again, and what ends that?" if type(got) is Starves else ""
        ),
        limit_s=20.0,
    )


@dataclass(frozen=True)
class Gains:
    """The outcome of all workloads: mean time to first token in percent of FCFS's."""

    percents: tuple

    def __repr__(self):
        won = sum(percent <= GAIN for percent in self.percents)
        each = ", ".join(f"{kind} {percent} %" for kind, percent in zip(HIDDEN, self.percents))
        return f"{won} of {len(HIDDEN)}: {each}"


def gains(answer):
    percents = tuple(against_fcfs(answer, kind, seed)[0] for kind, seed in HIDDEN.items())
    return True if sum(percent <= GAIN for percent in percents) >= WINS else Gains(percents)


SOONER = Trial(
    ["from course_lib.practice.play import contest", "contest(YourPolicy)  # four workloads that you can see"],
    gains,
    show=lambda got: f"at most {GAIN} % on {WINS} of {len(HIDDEN)}" if got is True else repr(got),
    note="mean time to first token, in percent of that of FCFS",
    explain=lambda expected, got: (
        "What would let more requests have their first token early: which of those that wait is done soonest?"
        if type(got) is Gains
        else ""
    ),
    limit_s=60.0,
)

YOUR_POLICY = Exercise(
    id="18.your_policy",
    title="A policy of your own",
    name="YourPolicy",
    cases="cases",
    properties=[
        Property(
            "A new policy is empty: `len` is 0, `peek()` returns `None`",
            "The engine looks at it before the first request, and in every step without one.",
            [fresh(), beside()],
        ),
        Property(
            "Each request that is pushed comes out once, and `pop()` takes the one that `peek()` returned",
            "A request that is lost never gets an answer; the engine has room for the one that it peeked at.",
            [emptied(1, 0), emptied(2, 1), emptied(5, 2), emptied(12, 3)],
        ),
        Property(
            "`remove` takes any request out, and the others stay",
            "A client hangs up while its request waits.",
            [removed(2, 4, [0]), removed(4, 5, [1, 3]), removed(9, 6, [8, 0, 4])],
        ),
        Property(
            "A request that is preempted waits again",
            "It comes back with `push(request, returning=True)`.",
            [returned(1, 7), returned(3, 8), returned(8, 9)],
        ),
        Property(
            f"Nobody starves: the longest time to first token is at most {LONGEST:g} times that of FCFS",
            "A policy that is good for most is of no use to a user whose request never runs.",
            [patient(kind, seed) for kind, seed in HIDDEN.items()],
        ),
        Property(
            f"The mean time to first token is at most {GAIN} % of that of FCFS on {WINS} of {len(HIDDEN)} workloads",
            "A policy that is not much faster than first come, first served is not worth its code.",
            [SOONER],
        ),
    ],
    mistakes=[*RETURNS_NOTHING[:1], *MISTAKES],
    hints=[
        "How much work a request is, you know when it arrives: about `num_prompt_tokens / 4 + params.max_tokens`, "
        "since a prompt token costs much less than a step of decoding. Let `contest` show what the order of this "
        "number does to the mean, and to the longest wait.",
        "A long request must not be passed for ever. Let waiting count: in a key that is made at the arrival, that is "
        "`request.arrival + weight * work`. A request can then only be passed by those that arrive within "
        "`weight * work` seconds after it.",
        "Which weight? With 0 it is FCFS, with a very large one it is the shortest first. Try 0.002, 0.005, 0.02 and "
        "0.1 in `contest`. Or count instead: after four requests have passed the oldest one, the oldest goes.",
    ],
    rights=[YourPolicy, AtMostFourOvertake, ResponseRatio],
    why="Shortest first has the least mean wait, and starves. One term for waiting bounds who can pass whom. SGLang "
    "has such a policy beside `lpm`: `hrrn`, the highest response ratio next (`managers/schedule_policy.py`).",
    after="Serve with it: `Engine(model, EngineConfig(policy=YourPolicy))`.",
    budget_s=120.0,
)
