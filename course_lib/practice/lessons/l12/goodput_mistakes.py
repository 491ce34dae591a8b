"""The mistakes in 12.goodput. Each is the right answer with one part replaced."""

from course_lib.practice.judge.exercise import Mistake

COMPLETE = ("stop", "length")


def above(value, limit):
    return value is not None and value > limit


def wrong(
    *,
    counts=lambda request: request["reason"] in COMPLETE,
    is_above=above,
    is_good=lambda missed, targets: not missed,
    limits=lambda targets: targets,
    misses=lambda missed: missed,
    rate=lambda good, seconds, total: good / seconds,
    start=lambda targets: dict.fromkeys(targets, 0),
    good_of=None,
):
    """A wrong answer: the right one with one part replaced."""

    def answer(requests, seconds, targets):
        good, total, missed = 0, 0, start(targets)
        for request in requests:
            if not counts(request):
                continue
            total += 1
            names = [name for name, limit in limits(targets).items() if is_above(request[name], limit)]
            good += is_good(names, targets)
            for name in misses(names):
                missed[name] = missed.get(name, 0) + 1
        if good_of is not None:
            good = good_of(total, missed)
        return {"good": good, "goodput": rate(good, seconds, total), "missed": missed}

    return answer


def other_reason(*reasons):
    return wrong(counts=lambda request: request["reason"] in reasons)


def all_requests(request):
    return True


def all_but_abort(request):
    return request["reason"] != "abort"


def good_without_gap(requests, seconds, targets):
    """Takes a `tpot` of None for a reason to keep the limits of `ttft` and `e2el` too."""
    none = dict.fromkeys(("ttft", "e2el"))
    return wrong()([one | none if one["tpot"] is None else one for one in requests], seconds, targets)


MISTAKES = [
    Mistake(
        "requests that are not complete are counted.",
        'Only "stop" and "length" are complete. A request that was given up is no success, however fast it began.',
        (wrong(counts=all_requests), wrong(counts=all_but_abort), other_reason("stop", "length", "abort")),
    ),
    Mistake(
        "incomplete requests are counted as missed.",
        "They failed, and have no latency to speak of. Count them neither as good nor as missed.",
        (wrong(counts=all_requests, is_above=lambda value, limit: value is None or value > limit),),
    ),
    Mistake(
        "outputs that ended by length are not counted.",
        '"length" is a complete output, too: the request asked for so many tokens.',
        other_reason("stop"),
    ),
    Mistake(
        "outputs that ended with a stop are not counted.",
        '"stop" is a complete output: the model had said all.',
        other_reason("length"),
    ),
    Mistake(
        "a latency a little above its limit is kept.",
        "Above the limit is missed, by however little. Compare the numbers as they are, neither rounded nor with a "
        "tolerance.",
        (
            wrong(is_above=lambda value, limit: above(value, limit + 1e-3)),
            wrong(is_above=lambda value, limit: above(value, limit * (1 + 1e-3))),
            wrong(is_above=lambda value, limit: value is not None and round(value, 3) > limit),
        ),
        is_made_by=lambda answer, found: found.trial.note == "above the limit, however little",
        last=True,
    ),
    Mistake(
        "a latency at its limit counts as missed.",
        "A limit of 0.5 s allows 0.5 s: a request is late only above it.",
        wrong(is_above=lambda value, limit: value is not None and value >= limit),
    ),
    Mistake(
        "a `tpot` of None counts as missed.",
        "An output of one token has no gap, so it cannot be late between tokens.",
        wrong(is_above=lambda value, limit: value is None or value > limit),
    ),
    Mistake(
        "a `tpot` of None counts for `ttft` and `e2el` too.",
        "An output of one token keeps every limit of `tpot`. Its `ttft` and `e2el` are compared as those of others.",
        good_without_gap,
    ),
    Mistake(
        "without limits no request is good.",
        "Where `targets` is empty, there is nothing that a complete request could miss.",
        wrong(is_good=lambda missed, targets: bool(targets) and not missed),
    ),
    Mistake(
        "one limit kept is enough.",
        "A request is good when it keeps all limits.",
        wrong(is_good=lambda missed, targets: len(missed) < len(targets) or not targets),
    ),
    Mistake(
        "the missed limits are subtracted one by one.",
        "A request above two limits counts in both places of `missed`, but it is one request less in `good`.",
        (
            wrong(good_of=lambda total, missed: total - sum(missed.values())),
            wrong(good_of=lambda total, missed: max(0, total - sum(missed.values()))),
        ),
    ),
    Mistake(
        "only the first limit that is missed is counted.",
        "`missed` has a count for each limit: go through all of them.",
        wrong(misses=lambda missed: missed[:1]),
    ),
    Mistake(
        "a request above several limits is not counted as missed.",
        "It is above each of them, and counts in each.",
        wrong(misses=lambda missed: missed if len(missed) == 1 else []),
    ),
    Mistake(
        "only some limits are looked at.",
        "`targets` may have `ttft`, `tpot` and `e2el`: go through the dict.",
        tuple(
            wrong(limits=lambda targets, left=left: {name: x for name, x in targets.items() if name not in left})
            for left in (("ttft",), ("tpot",), ("e2el",), ("tpot", "e2el"), ("ttft", "e2el"))
        ),
    ),
    Mistake(
        "limits are taken as milliseconds.",
        "Limits and latencies are both in seconds.",
        (
            wrong(is_above=lambda value, limit: value is not None and value * 1000 > limit),
            wrong(is_above=lambda value, limit: value is not None and value > limit / 1000),
        ),
    ),
    Mistake(
        "late and good are exchanged.",
        "A request is good when each latency is at most its limit.",
        wrong(is_above=lambda value, limit: value is not None and value <= limit),
    ),
    Mistake(
        "`goodput` is a share.",
        "It is requests in time for each second of the run: divide by `seconds`.",
        (
            wrong(rate=lambda good, seconds, total: good / total if total else 0.0),
            wrong(rate=lambda good, seconds, total: 100 * good / total if total else 0.0),
        ),
    ),
    Mistake(
        "`goodput` counts all complete requests.",
        "That is throughput. Goodput leaves out the late ones.",
        wrong(rate=lambda good, seconds, total: total / seconds),
    ),
    Mistake(
        "`goodput` is a count.",
        "Divide `good` by the seconds of the run.",
        wrong(rate=lambda good, seconds, total: good),
    ),
    Mistake(
        "`goodput` is upside down.",
        "Divide the requests by the seconds.",
        wrong(rate=lambda good, seconds, total: seconds / good if good else 0.0),
    ),
    Mistake(
        "`goodput` is rounded.",
        "Return the fraction as it is.",
        (
            wrong(rate=lambda good, seconds, total: good // seconds),
            wrong(rate=lambda good, seconds, total: round(good / seconds)),
            wrong(rate=lambda good, seconds, total: round(good / seconds, 1)),
        ),
    ),
    Mistake(
        "limits that nobody missed are left out of `missed`.",
        "Each name of `targets` has a count, and it may be 0.",
        wrong(start=lambda targets: {}),
    ),
    Mistake(
        "names without a limit are in `missed`.",
        "Only the names of `targets` have a count.",
        wrong(start=lambda targets: dict.fromkeys(("ttft", "tpot", "e2el"), 0)),
    ),
]
