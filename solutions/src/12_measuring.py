# %% [markdown]
# # Exercises 12 · Measuring
#
# Five pieces of a benchmark: the latencies of a run, the arrivals of an open loop, the requests in time, the highest load that
# keeps a target, and seven reports with a flaw each. Everything is plain Python, and times are in seconds.
# Compute with Python's floats or float64, as float32 rounds. A list or dict that your function returns is a new one in every call.
# `hint("12.metrics")` goes one step further each time you call it.

# %% [markdown]
# {{colab}}

# %%
import math
import random

from course_lib import EngineConfig, check, hint, progress, setup
from course_lib.engine import Targets, summarise
from course_lib.kvcache.catalogue import MODELS
from course_lib.practice.play import bench_report
from course_lib.viz import chart
from course_lib.workload import LENGTH_SETS, Poisson, Workload, roofline
from course_lib.workload.simulate import simulate

_ = setup(quiet=True)

# %% [markdown]
# The server of the lesson, simulated: Llama 3 8B in bfloat16 on an H200, with 256 sequences at most. Below, your functions measure it.

# %%
cost = roofline(MODELS["Llama 3 8B"], bytes_per_s=4.3e12, flops_per_s=680e12, launch_s=1e-3)
server = EngineConfig(num_blocks=53_000, max_num_seqs=256, max_num_batched_tokens=2048)


def serve(rate, num_requests=400):
    """Serves chat requests that arrive `rate` times a second. Returns the RequestMetrics of each."""
    found = []
    load = Workload(Poisson(rate), LENGTH_SETS["chat"], num_requests=num_requests, context=8192, seed=0)
    simulate(load, server, cost, on_finish=lambda arrival, metrics: found.append(metrics))
    return found


served = serve(30)
print(f"{len(served)} requests, {sum(one.num_output_tokens for one in served):,} output tokens")

# %% [markdown]
# ## 12.metrics · The numbers of a run
#
# `requests` is a list with one pair `(arrival, token_times)` for each request, in any order, and it has at least one. `arrival` is the
# second in which the request arrived. `token_times` is a list of the seconds in which its tokens came, at least one, and no time is before
# the one in front of it. `p` is a percentile, a number from 0 to 100.
#
# Return a dict of six numbers. Four are the p-th percentile of a latency, in seconds:
#
# - `ttft`: from the arrival to the first token, a value for each request.
# - `tpot`: the mean of the gaps between the tokens of one request, a value for each request that has two tokens or more. The wait for
#   the first token is not in it.
# - `itl`: the gaps between the tokens themselves, all gaps of all requests together. A request with n tokens has n - 1 of them.
# - `e2el`: from the arrival to the last token, a value for each request.
#
# If no request has two tokens, `tpot` and `itl` are None. Two are throughputs over the whole run, which lasts from the first arrival to
# the last token and is longer than 0 seconds:
#
# - `request_throughput`: requests a second.
# - `output_throughput`: output tokens a second, first tokens included.
#
# The percentile is linear, as NumPy's. Of n values in ascending order, numbered from 0, it stands at place (n - 1) · p / 100. Between two
# places it lies on the line from one value to the other: P50 of 1, 2 and 6 is 2, P75 is 4. Nothing is rounded, and `requests` is not
# changed. You may use NumPy.

# %% nbgrader={"grade_id": "metrics", "solution": true} course={"exercise": "12.metrics"}
def metrics(requests, p):
    """{"ttft", "tpot", "itl", "e2el"}: percentile p in seconds; {"request_throughput", "output_throughput"}: a second."""
    ### BEGIN SOLUTION
    def percentile(values):
        if not values:
            return None
        ordered, place = sorted(values), (len(values) - 1) * p / 100
        low = int(place)
        high = min(low + 1, len(values) - 1)
        return ordered[low] + (place - low) * (ordered[high] - ordered[low])

    gaps = [[b - a for a, b in zip(times, times[1:])] for _, times in requests]
    seconds = max(times[-1] for _, times in requests) - min(arrival for arrival, _ in requests)
    return {
        "ttft": percentile([times[0] - arrival for arrival, times in requests]),
        "tpot": percentile([sum(its) / len(its) for its in gaps if its]),
        "itl": percentile([gap for its in gaps for gap in its]),
        "e2el": percentile([times[-1] - arrival for arrival, times in requests]),
        "request_throughput": len(requests) / seconds,
        "output_throughput": sum(len(times) for _, times in requests) / seconds,
    }
    ### END SOLUTION

# %% nbgrader={"grade_id": "metrics-check", "grade": true, "points": 2}
check("12.metrics", metrics)

# %% [markdown]
# Your numbers for the simulated server, beside those of `course_lib`:

# %% tags=["raises-exception"]
mine = metrics([(one.arrival, one.token_times) for one in served], 99)
theirs = summarise(served)
for name in ("ttft", "tpot", "itl", "e2el"):
    print(f"P99 of {name:>4}: yours {mine[name] * 1e3:>8,.1f} ms, course_lib {getattr(theirs, name).percentiles[99] * 1e3:>8,.1f} ms")
for name in ("request_throughput", "output_throughput"):
    print(f"{name}: yours {mine[name]:,.1f}, course_lib {getattr(theirs, name):,.1f}")

# %% [markdown]
# ## 12.poisson · Arrivals of an open loop
#
# In an open loop requests arrive by themselves. Write `arrival_times(rate, seconds, seed, burstiness=1.0)`: the times at which they
# arrive, a list of floats in ascending order. `rate` is how many arrive in a second on average, `seconds` how long the run lasts. `rate`,
# `seconds` and `burstiness` are ints or floats above 0, and `seed` is an int.
#
# - The first request arrives one gap after the start, and each other one a gap after the request before it.
# - The gaps are drawn in this order from one generator, `random.Random(seed)`, by its method `gammavariate(shape, scale)`. The shape is
#   `burstiness`. The mean of such a draw is shape · scale, and the mean gap has to be 1 / `rate`. With a burstiness of 1 this is the
#   exponential distribution, and so a **Poisson process**: `gammavariate(1, 1 / rate)` draws the same as `expovariate(rate)`.
# - A burstiness of `math.inf` draws nothing: request k arrives at k / `rate`, counted from 1.
# - The run ends before `seconds`: a time at `seconds` or after it is not in the list, and neither is any time after that. How many requests arrive
#   is therefore random. The list may be empty.
#
# The same arguments always give the same times, in a new list. Nothing is rounded. The global generator (`random.seed`, `random.random`, …) is neither used nor changed, since the rest of the
# program draws from it. With a `rate` of 2, 2 `seconds` and a burstiness of `math.inf` the times are `[0.5, 1.0, 1.5]`.

# %% nbgrader={"grade_id": "poisson", "solution": true} course={"exercise": "12.poisson"}
def arrival_times(rate, seconds, seed, burstiness=1.0):
    """Times of arrival below `seconds`, `rate` a second on average. burstiness: shape of the gaps; 1 is Poisson."""
    ### BEGIN SOLUTION
    draw, times, now = random.Random(seed), [], 0.0
    while True:
        if burstiness == math.inf:
            now = (len(times) + 1) / rate
        else:
            now += draw.gammavariate(burstiness, 1 / (rate * burstiness))
        if now >= seconds:
            return times
        times.append(now)
    ### END SOLUTION

# %% nbgrader={"grade_id": "poisson-check", "grade": true, "points": 2}
check("12.poisson", arrival_times)

# %% [markdown]
# Requests in each second, at the same rate. Which of the three needs the longest queue?

# %% tags=["raises-exception"]
for burstiness in (0.25, 1.0, math.inf):
    times = arrival_times(8, 30, 3, burstiness)
    counts = [sum(int(time) == second for time in times) for second in range(30)]
    print(f"burstiness {burstiness:>4}: {len(times):>3} requests, at most {max(counts):>2} in a second  {' '.join(map(str, counts))}")

# %% [markdown]
# ## 12.goodput · Requests in time
#
# `requests` is a list of dicts, one for each request, and it may be empty. Each has
#
# - `reason`: why it ended. `"stop"` and `"length"` are complete; any other text, such as `"abort"` or `"error"`, is not.
# - `ttft`, `tpot` and `e2el`: its latencies in seconds. `tpot` is None for an output of one token, which has no gap. Of a request that is
#   not complete, any of them may be None.
#
# `seconds` is how long the run lasted, above 0. `targets` is a dict of limits in seconds, above 0: none, one or more of `ttft`, `tpot` and `e2el`.
# A latency without a limit may be anything. A latency that is exactly at its limit keeps it, and a `tpot` of None keeps every limit of `tpot`.
#
# Return a dict of three:
#
# - `good`: how many complete requests keep **all** limits, a whole number.
# - `goodput`: `good` for each second of the run.
# - `missed`: a dict with one whole number for each name in `targets`: how many complete requests are above that limit. A request
#   that is above two limits counts in both.
#
# `requests` and `targets` are not changed. An example: with a limit of 0.5 s for `ttft`, and complete requests of 0.2, 0.5 and 0.9 s
# in 4 seconds, `good` is 2, `goodput` is 0.5 and `missed` is `{"ttft": 1}`.

# %% nbgrader={"grade_id": "goodput", "solution": true} course={"exercise": "12.goodput"}
def goodput(requests, seconds, targets):
    """{"good": requests in time, "goodput": of them a second, "missed": {name: requests above this limit}}."""
    ### BEGIN SOLUTION
    good, missed = 0, dict.fromkeys(targets, 0)
    for request in requests:
        if request["reason"] not in ("stop", "length"):
            continue
        above = [name for name, limit in targets.items() if request[name] is not None and request[name] > limit]
        good += not above
        for name in above:
            missed[name] += 1
    return {"good": good, "goodput": good / seconds, "missed": missed}
    ### END SOLUTION

# %% nbgrader={"grade_id": "goodput-check", "grade": true, "points": 2}
check("12.goodput", goodput)

# %% [markdown]
# The simulated server at three loads. Which of the two limits breaks first?

# %% tags=["raises-exception"]
for rate in (20, 40, 50):
    run = serve(rate)
    as_dicts = [{"reason": one.finish_reason, "ttft": one.ttft, "tpot": one.tpot, "e2el": one.e2e_latency} for one in run]
    lasted = max(one.finished for one in run) - min(one.arrival for one in run)
    found = goodput(as_dicts, lasted, {"ttft": 0.5, "tpot": 0.015})
    theirs = summarise(run, targets=Targets(ttft=0.5, tpot=0.015))
    print(f"{rate} requests a second: {found['good']} of {len(run)} in time, missed {found['missed']}, "
          f"goodput {found['goodput']:.1f}, course_lib {theirs.request_goodput:.1f}")

# %% [markdown]
# ## 12.knee · The highest load that keeps the goal
#
# A run of a benchmark takes minutes, so a sweep over many loads is slow. Write `find_knee(run, rates, goal)`, which needs few runs.
#
# - `rates` is a list of loads in requests a second, ascending, each once, at least one.
# - `run(rate)` serves a load at one of these rates, and returns the share of requests that were in time, from 0 to 1. Only rates of the list can
#   be run. The share never grows with the rate.
# - `goal` is the share that is asked for, above 0. A share that is exactly `goal` keeps it.
#
# Return the highest rate of the list that keeps the goal; None, if even the lowest misses it. With n rates, `run` is called at most
# `n.bit_length()` times: 3 times for 4 to 7 rates, 4 times for 8 to 15. No rate is run twice. `rates` is not changed.

# %% nbgrader={"grade_id": "knee", "solution": true} course={"exercise": "12.knee"}
def find_knee(run, rates, goal):
    """The highest of `rates` at which run(rate) is at least `goal`, or None; in at most len(rates).bit_length() runs."""
    ### BEGIN SOLUTION
    low, high = 0, len(rates)  # how many rates keep the goal: at least low, at most high
    while low < high:
        middle = (low + high) // 2
        if run(rates[middle]) >= goal:
            low = middle + 1
        else:
            high = middle
    return rates[low - 1] if low else None
    ### END SOLUTION

# %% nbgrader={"grade_id": "knee-check", "grade": true, "points": 2}
check("12.knee", find_knee)

# %% [markdown]
# Your search on the simulated server: TTFT at most 500 ms and TPOT at most 15 ms, for 90 % of the requests. The chart shows the runs that it needed.

# %% tags=["raises-exception"]
runs = {}


def in_time(rate):
    done = summarise(serve(rate), targets=Targets(ttft=0.5, tpot=0.015))
    runs[rate] = done.num_good / done.completed
    return runs[rate]


found = find_knee(in_time, list(range(5, 61)), 0.9)
print(f"{found} requests a second, found in {len(runs)} runs instead of 56")
chart("Requests in time, at the loads that were run", {"your runs": (sorted(runs), [100 * runs[rate] for rate in sorted(runs)])},
      x="load", x_unit="requests/s", y="requests in time", y_unit="%", kind="points")

# %% [markdown]
# ## 12.spot_the_flaw · Seven reports
#
# Seven benchmark reports, A to G. Each was made by real runs of the simulator on the server above, and its numbers are what the runs gave. Each claim
# is wrong, or does not follow, because of **one** flaw. No two reports have the same flaw:
#
# | name | flaw |
# |---|---|
# | `busy_machine` | Another program ran on the machine. |
# | `closed_loop` | The users wait for their answers, and the claim is about users who do not. |
# | `few_requests` | A percentile comes from too few requests, and the difference is chance. |
# | `no_warm_up` | The first, slower steps are in the numbers. |
# | `one_batch_size` | One batch size was measured, and the claim is about another. |
# | `other_prompts` | The two sides were given different work. |
# | `short_run` | The run ended while the queue was still growing. |
# | `tpot_definition` | Two numbers with one name were computed in two ways. |
# | `unlike_users` | The lengths are not those of the users whom the claim is about. |
#
# Two of the nine names belong to no report. Take what a report says about its own setting as true. TTFT, TPOT and E2EL are defined as in the lesson.

# %% tags=["raises-exception"]
for letter in "ABCDEFG":
    print(bench_report(letter), end="\n\n\n")

# %% [markdown]
# `find_flaws()` takes nothing and returns a dict with seven entries: the letter of each report, a text such as `"A"`, and the name of its flaw, one of the nine above.

# %% nbgrader={"grade_id": "spot_the_flaw", "solution": true} course={"exercise": "12.spot_the_flaw"}
def find_flaws():
    """{letter of a report: name of its flaw}, for the reports A to G."""
    ### BEGIN SOLUTION
    return {
        "A": "closed_loop",  # visitors do not wait for each other: their queue grows without end
        "B": "short_run",  # the second half waits many times as long as the first
        "C": "few_requests",  # P99 of 60 requests is nearly the slowest one
        "D": "unlike_users",  # no prompt is longer than 256 tokens, and the long ones make others wait
        "E": "one_batch_size",  # one sequence: the launches are most of the step, in a full batch they are not
        "F": "tpot_definition",  # X divides E2EL by 48, Y leaves the first token out
        "G": "other_prompts",  # 1.1 got prompts whose beginning was cached
    }
    ### END SOLUTION

# %% nbgrader={"grade_id": "spot_the_flaw-check", "grade": true, "points": 3}
check("12.spot_the_flaw", find_flaws)

# %% [markdown]
# What you have passed so far:

# %% tags=["nbval-ignore-output"]
progress()

# %% [markdown]
# The next lesson is [13 · Making it fast](../notebooks/13_making_it_fast.ipynb).
