"""Serves a workload on the real engine: requests are added when they arrive, and every step is run at once.

clock = WallClock()
engine = Engine(model, EngineConfig(), trace=False, clock=clock)
requests = drive(engine, Feed(workload), clock)         # RequestMetrics, for summarise(requests)
"""

import time
from dataclasses import replace

from course_lib.decoding.sampling import SamplingParams


class WallClock:
    """Seconds that pass. The engine and `drive` get the same clock."""

    def __call__(self):
        return time.perf_counter()

    def wait(self, seconds):
        """Nothing is to be done for so long."""
        time.sleep(max(0.0, seconds))


class ProcessorClock:
    """Seconds of processor time of this process; a wait for the next arrival is skipped, and counted as if it passed.

    Other programs on the machine change it little. It needs torch.set_num_threads(1), since the time of all threads is
    summed, and it says nothing about a GPU.
    """

    def __init__(self):
        self._skipped = 0.0

    def __call__(self):
        return time.process_time() + self._skipped

    def wait(self, seconds):
        """Skips so many seconds."""
        self._skipped += max(0.0, seconds)


def drive(engine, feed, clock, *, step=None, on_finish=None):
    """Serves a Feed to its end. Returns the RequestMetrics of all requests, with times from the start of this call.

    engine: made with clock=clock; it may have served other requests before, to warm up. clock: a WallClock or
    ProcessorClock. step: called in the place of engine.step. on_finish: called as on_finish(arrival, output, metrics)
    at each end. Each request generates its full length (ignore_eos).
    """
    start, step, serving, done = engine.now(), step or engine.step, {}, []
    while not feed.is_over:
        for arrival in feed.due(engine.now() - start):
            params = SamplingParams(max_tokens=arrival.max_tokens, ignore_eos=True)
            request_id = engine.add_request(
                arrival.token_ids, params, priority=arrival.priority, client=arrival.client, arrival=start + arrival.at
            )
            serving[request_id] = arrival
        if not engine.has_unfinished():
            clock.wait(feed.next_at - (engine.now() - start))
            continue
        for output in step():
            if output.finished and output.request_id in serving:
                arrival, metrics = serving.pop(output.request_id), shifted(output.metrics, start)
                done.append(metrics)
                feed.finished(arrival, output.token_ids, metrics.finished)
                if on_finish is not None:
                    on_finish(arrival, output, metrics)
    return done


def shifted(metrics, start):
    """RequestMetrics with times counted from `start`."""
    first = None if metrics.first_scheduled is None else metrics.first_scheduled - start
    finished = None if metrics.finished is None else metrics.finished - start
    times = [time - start for time in metrics.token_times]
    return replace(
        metrics, arrival=metrics.arrival - start, first_scheduled=first, finished=finished, token_times=times
    )
