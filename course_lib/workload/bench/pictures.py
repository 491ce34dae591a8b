"""One picture of a run: the latencies of its requests, and the output tokens a second, over time."""

import numpy as np
from matplotlib.figure import Figure

from course_lib.engine.intervals import tokens_per_second


def save_picture(path, requests, duration):
    """Writes a PNG. requests: RequestMetrics; failed ones are marked at their arrival. duration: seconds."""
    complete = [request for request in requests if request.is_complete]
    failed = [request.arrival for request in requests if not request.is_complete]
    figure = Figure(figsize=(9, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    arrivals = [request.arrival for request in complete]
    above.plot(arrivals, [request.e2e_latency for request in complete], ".", color="#999999", label="E2EL")
    above.plot(arrivals, [request.ttft for request in complete], ".", color="#0072B2", label="TTFT")
    if failed:
        above.plot(failed, np.zeros(len(failed)), "x", color="#D55E00", label=f"failed ({len(failed)})")
    above.set_ylabel("seconds, by arrival")
    above.set_ylim(bottom=0)
    above.legend(loc="upper left")
    rates = tokens_per_second(complete, duration)
    below.step(np.arange(len(rates)), rates, where="post", color="#0072B2")
    below.set_ylabel("output tokens a second")
    below.set_xlabel("seconds since the start")
    below.set_ylim(bottom=0)
    figure.savefig(path, dpi=120)
