"""Wrong answers to 12.goodput as people write them; see written_otherwise.py. RIGHT: other right ones."""

from collections import Counter
from fractions import Fraction


def complete(requests):
    return [one for one in requests if one["reason"] in ("stop", "length")]


def keeps(one, name, limit):
    return one[name] is None or one[name] <= limit


def count(
    of=complete, ok=keeps, names=("ttft", "tpot", "e2el"), all_of=all, rate=lambda good, seconds, of: good / seconds
):
    """An answer: which requests count, what keeps a limit, and what becomes of the count."""

    def answer(requests, seconds, targets):
        chosen, limits = of(requests), {name: limit for name, limit in targets.items() if name in names}
        good = sum(1 for one in chosen if all_of([ok(one, name, limit) for name, limit in limits.items()]))
        missed = {name: sum(not ok(one, name, targets[name]) for one in chosen) for name in targets}
        return {"good": good, "goodput": rate(good, seconds, chosen), "missed": missed}

    return answer


def fast_enough(one, name, limit):
    return (one[name] or 0) < limit


def not_late_without_a_value(one, name, limit):
    return one[name] is not None and one[name] <= limit


def sum_of_latencies(requests, seconds, targets):
    found = count()(requests, seconds, targets)
    good = [one for one in complete(requests) if sum(one[n] or 0 for n in targets) <= sum(targets.values())]
    return found | {"good": len(good), "goodput": len(good) / seconds}


def on_average(requests, seconds, targets):
    """All requests are good if the means keep the limits."""
    found, its = count()(requests, seconds, targets), complete(requests)
    means = {name: sum(one[name] or 0 for one in its) / max(1, len(its)) for name in targets}
    good = len(its) if all(means[name] <= targets[name] for name in targets) else 0
    return found | {"good": good, "goodput": good / seconds}


def first_miss_only(requests, seconds, targets):
    missed, good = dict.fromkeys(targets, 0), 0
    for one in complete(requests):
        for name, limit in targets.items():
            if not keeps(one, name, limit):
                missed[name] += 1
                break
        else:
            good += 1
    return {"good": good, "goodput": good / seconds, "missed": missed}


def counts_down(requests, seconds, targets):
    missed = {name: sum(not keeps(one, name, targets[name]) for one in complete(requests)) for name in targets}
    good = len(complete(requests))
    for number in missed.values():
        good -= number
    return {"good": good, "goodput": good / seconds, "missed": missed}


def shares_in_missed(requests, seconds, targets):
    found = count()(requests, seconds, targets)
    total = len(complete(requests)) or 1
    return found | {"missed": {name: number / total for name, number in found["missed"].items()}}


def fails_without_requests(requests, seconds, targets):
    found = count()(requests, seconds, targets)
    return found | {"goodput": found["good"] / len(requests) * (len(requests) / seconds)}


def in_a_counter(requests, seconds, targets):
    """A Counter has no place for what was never counted."""
    missed = Counter(n for one in complete(requests) for n, limit in targets.items() if not keeps(one, n, limit))
    good = count()(requests, seconds, targets)["good"]
    return {"good": good, "goodput": good / seconds, "missed": missed}


def removes_incomplete(requests, seconds, targets):
    for one in list(requests):
        if one["reason"] not in ("stop", "length"):
            requests.remove(one)
    return count()(requests, seconds, targets)


def zero_for_none(requests, seconds, targets):
    for one in requests:
        one["tpot"] = one["tpot"] or 0
    return count()(requests, seconds, targets)


def prints_it(requests, seconds, targets):
    print(count()(requests, seconds, targets))


def in_a_tuple(requests, seconds, targets):
    return tuple(count()(requests, seconds, targets).values())


def fractions(requests, seconds, targets):
    found = count()(requests, seconds, targets)
    return found | {"goodput": Fraction(found["good"]) / Fraction(seconds)}


def counter_with_zeros(requests, seconds, targets):
    missed = Counter(dict.fromkeys(targets, 0))
    missed.update(n for one in complete(requests) for n, limit in targets.items() if not keeps(one, n, limit))
    return count()(requests, seconds, targets) | {"missed": missed}


def one_token_is_good(requests, seconds, targets):
    """Reads "a `tpot` of None keeps every limit" as: whatever the other latencies are."""
    return count(ok=lambda one, name, limit: one["tpot"] is None or keeps(one, name, limit))(requests, seconds, targets)


def none_below(requests, seconds, targets):
    found = count()(requests, seconds, targets)
    good = max(0, len(complete(requests)) - sum(found["missed"].values()))
    return found | {"good": good, "goodput": good / seconds}


RIGHT = {"12.goodput": [count(), count(all_of=lambda kept: False not in kept), fractions, counter_with_zeros]}
CASES = {
    "12.goodput": [
        ("not complete are counted", count(of=list, ok=lambda one, n, limit: (one[n] or 0) <= limit)),
        ("ended by length", count(of=lambda requests: [one for one in requests if one["reason"] == "stop"])),
        ("ended with a stop", count(of=lambda requests: [one for one in requests if one["reason"] == "length"])),
        (
            None,
            count(
                of=lambda requests: [one for one in requests if "stop" in one["reason"] or one["reason"] == "length"]
            ),
        ),
        ("at its limit", count(ok=fast_enough)),
        ("`tpot` of None", count(ok=not_late_without_a_value)),
        ("one limit kept", count(all_of=lambda kept: any(kept) or not kept)),
        ("without limits", count(all_of=any)),
        ("counts for `ttft`", one_token_is_good),
        ("subtracted one by one", none_below),
        ("without limits", count(all_of=lambda kept: all(kept) and kept != [])),
        (None, count(of=lambda requests: [one for one in requests if one["reason"] in "stoplength"])),
        (None, sum_of_latencies),
        (None, on_average),
        ("first limit that is missed", first_miss_only),
        ("subtracted one by one", counts_down),
        (None, shares_in_missed),
        (None, fails_without_requests),
        ("left out of `missed`", in_a_counter),
        ("is a share", count(rate=lambda good, seconds, of: good / len(of) if of else 0.0)),
        ("counts all complete", count(rate=lambda good, seconds, of: len(of) / seconds)),
        ("rounded", count(rate=lambda good, seconds, of: int(good // seconds))),
        (None, count(rate=lambda good, seconds, of: good / seconds * 60)),
        ("list or dict is changed", removes_incomplete),
        ("list or dict is changed", zero_for_none),
        ("printed, not returned", prints_it),
        ("without their names", in_a_tuple),
        ("a little above its limit", count(ok=lambda one, n, limit: (one[n] or 0) <= limit * 1.0005)),
        ("numbers are rounded", count(rate=lambda good, seconds, of: round(good / seconds, 3))),
    ]
}
