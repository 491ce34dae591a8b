"""The mistakes in 15.when_it_pays. Each is the right answer with one part replaced."""

from course_lib.practice.judge.exercise import Mistake


def powers(a, k):
    return sum(a**i for i in range(k + 1))


def wrong(
    *,
    tokens=powers,
    time=lambda k, draft, costs: k * draft + costs[k],
    ks=lambda size: range(size),
    is_better=lambda new, old: new > old,
    stops=False,
    start=lambda: None,
    gives=lambda k, speedup: (k, speedup),
):
    """A wrong answer: the right one with one part replaced."""

    def answer(acceptance, draft_cost, verify_costs):
        best = start()
        for k in ks(len(verify_costs)):
            speedup = tokens(acceptance, k) / time(k, draft_cost, verify_costs)
            if best is None or is_better(speedup, best[1]):
                best = k, speedup
            elif stops:
                break
        return gives(*(best or (0, 1.0)))

    return answer


MISTAKES = [
    Mistake(
        "every accepted draft counts, also after one that is not accepted.",
        "1 + k * a would be the mean if drafts counted for themselves. They count up to the first that is not "
        "accepted: 1 + a + a² + … + aᵏ.",
        wrong(tokens=lambda a, k: 1 + k * a),
    ),
    Mistake(
        "the token in any case is left out.",
        "A step brings one token even if no draft is accepted: the sum begins with 1.",
        (
            wrong(tokens=lambda a, k: sum(a**i for i in range(1, k + 1)) if k else 1.0),
            wrong(tokens=lambda a, k: sum(a**i for i in range(1, k + 1))),
            wrong(tokens=lambda a, k: sum(a**i for i in range(1, k + 2))),
            wrong(tokens=lambda a, k: k * a if k else 1.0),
        ),
    ),
    Mistake(
        "the sum ends one power too early.",
        "With k drafts the last power is aᵏ: all k are accepted, and one token more comes.",
        wrong(tokens=lambda a, k: sum(a**i for i in range(max(1, k)))),
    ),
    Mistake(
        "the sum ends one power too late.",
        "With k drafts the last power is aᵏ.",
        (wrong(tokens=lambda a, k: powers(a, k + 1) if k else 1.0), wrong(tokens=lambda a, k: powers(a, k + 1))),
    ),
    Mistake(
        "all drafts or none are accepted.",
        "Drafts before the first that is not accepted stay: 1 + a + a² + … + aᵏ.",
        (wrong(tokens=lambda a, k: 1 + k * a**k), wrong(tokens=lambda a, k: (k + 1) * a**k if k else 1.0)),
    ),
    Mistake(
        "all drafts are taken for accepted.", "k + 1 tokens come only if a is 1.", wrong(tokens=lambda a, k: k + 1)
    ),
    Mistake(
        "the formula divides by zero.",
        "(1 - aᵏ⁺¹) / (1 - a) has no value for a = 1. There k + 1 tokens come.",
        wrong(tokens=lambda a, k: (1 - a ** (k + 1)) / (1 - a)),
    ),
    Mistake(
        "the draft runs once.",
        "The draft model writes one token after the other: k runs, `k * draft_cost`.",
        wrong(time=lambda k, draft, costs: (draft if k else 0) + costs[k]),
    ),
    Mistake(
        "drafting costs nothing.",
        "k runs of the draft come before the run that checks them.",
        wrong(time=lambda k, draft, costs: costs[k]),
    ),
    Mistake(
        "the draft runs once more than it drafts.",
        "k drafts take k runs.",
        wrong(time=lambda k, draft, costs: (k + 1) * draft + costs[k] if k else costs[k]),
    ),
    Mistake(
        "the run that checks takes the time of a plain step.",
        "A run over k + 1 tokens takes `verify_costs[k]`.",
        wrong(time=lambda k, draft, costs: k * draft + costs[0]),
    ),
    Mistake(
        "the time of the run that checks is left out.",
        "A step is k runs of the draft, and one run of the model: `verify_costs[k]`.",
        wrong(time=lambda k, draft, costs: k * draft if k and draft else costs[k]),
    ),
    Mistake(
        "`verify_costs` is multiplied with the number of tokens.",
        "It is the time of the whole run over k + 1 tokens already.",
        wrong(time=lambda k, draft, costs: k * draft + (k + 1) * costs[k]),
    ),
    Mistake(
        "`verify_costs` is read at the wrong place.",
        "`verify_costs[k]` belongs to k drafts: a run over k + 1 tokens.",
        (
            wrong(time=lambda k, draft, costs: k * draft + (costs[k - 1] if k else costs[0])),
            wrong(time=lambda k, draft, costs: k * draft + (costs[-1] if k else costs[0])),
        ),
    ),
    Mistake(
        "no speculation is not tried.",
        "k = 0 is a choice too: a speed-up of 1. Where no number of drafts pays, it is the answer.",
        (wrong(ks=lambda size: range(1, size)), wrong(ks=lambda size: range(1, size), start=lambda: (0, 0.0))),
    ),
    Mistake(
        "the largest k is not tried.",
        "The numbers of drafts are 0 to len(verify_costs) - 1.",
        wrong(ks=lambda size: range(max(1, size - 1))),
    ),
    Mistake(
        "the search stops at the first k that is worse.",
        "Costs jump. A larger k may be better again, so try all of them.",
        wrong(stops=True),
    ),
    Mistake(
        "of equal speed-ups the most drafts are taken.",
        "Replace the best only if the new one is larger.",
        wrong(is_better=lambda new, old: new >= old),
    ),
    Mistake(
        "a small gain does not count.",
        "The largest speed-up is asked for, by however little it is larger: `>`, without a tolerance.",
        (
            wrong(is_better=lambda new, old: new > old + 1e-3, start=lambda: (0, 1.0)),
            wrong(is_better=lambda new, old: new > old + 1e-3),
            wrong(is_better=lambda new, old: new > old * 1.01),
        ),
    ),
    Mistake(
        "the worst number of drafts is taken.",
        "The largest speed-up is wanted.",
        wrong(is_better=lambda new, old: new < old),
    ),
    Mistake(
        "the number of drafts with the most tokens is taken.",
        "More tokens are worth it only if they come in less time each: tokens / time.",
        wrong(tokens=powers, ks=lambda size: [size - 1]),
    ),
    Mistake(
        "the two results are in the other order, or one is missing.",
        "Return (k, speed-up).",
        (
            wrong(gives=lambda k, speedup: (speedup, k)),
            wrong(gives=lambda k, speedup: k),
            wrong(gives=lambda k, speedup: speedup),
            wrong(gives=lambda k, speedup: [k, speedup]),
        ),
    ),
    Mistake(
        "the speed-up is rounded.",
        "Return it as it is.",
        (
            wrong(gives=lambda k, speedup: (k, round(speedup, 2))),
            wrong(gives=lambda k, speedup: (k, round(speedup, 1))),
            wrong(gives=lambda k, speedup: (k, int(speedup))),
        ),
    ),
    Mistake(
        "the speed-up is upside down.",
        "Tokens divided by time: above 1 is faster.",
        wrong(gives=lambda k, speedup: (k, 1 / speedup)),
    ),
]
