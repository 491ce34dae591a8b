"""Dynamic batching: a batch starts when it is full, or when its first request has waited long enough.

Requests that arrive close together share the cost of reading the weights, and the timeout limits how long the others
wait. But a batch that runs is static: a request that arrives a moment later waits until it ends. Source: the dynamic
batcher of NVIDIA Triton Inference Server.
"""

import math
import time
from collections import deque

from course_lib.decoding.sampling import SamplingParams
from course_lib.errors import CourseError, ParameterError

from .static import BatchReport, as_requests, run_batch


class DynamicBatcher:
    """Collects requests. max_batch_size: so many start at once. timeout: seconds after which fewer start."""

    def __init__(self, max_batch_size, timeout):
        if type(max_batch_size) is not int or max_batch_size < 1:
            raise ParameterError(f"max_batch_size is {max_batch_size!r}, but it counts requests: at least 1. Try 8.")
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout >= 0:
            raise ParameterError(f"timeout is {timeout!r}, but it is a time in seconds of at least 0. Try 0.05.")
        self.max_batch_size, self.timeout = max_batch_size, timeout
        self._waiting = deque()  # (time of arrival, request)

    def add(self, request, now):
        """The request arrives at `now`."""
        self._waiting.append((now, request))

    def ready_at(self):
        """When the next batch can start: a time in the past if it is full already; None if no request waits."""
        if not self._waiting:
            return None
        if len(self._waiting) >= self.max_batch_size:
            return self._waiting[self.max_batch_size - 1][0]
        return self._waiting[0][0] + self.timeout

    def take(self, now):
        """The requests of the batch that starts now, in order of arrival; empty if none starts yet."""
        ready_at = self.ready_at()
        if ready_at is None or now < ready_at:
            return []
        return [self._waiting.popleft()[1] for _ in range(min(self.max_batch_size, len(self._waiting)))]

    def __len__(self):
        return len(self._waiting)


def run_dynamic(
    model,
    prompts,
    params=SamplingParams(),
    *,
    arrivals=None,
    max_batch_size=8,
    timeout=0.05,
    batcher=None,
    clock=time.perf_counter,
    sleep=time.sleep,
):
    """Serves the prompts as they arrive.

    Returns (new token ids of each, seconds from arrival to end of each, BatchReport). arrivals: seconds after the
    start, one for each prompt, ascending; default: all at once. batcher: your own, with `add`, `take` and `ready_at` as
    in DynamicBatcher; default: one with this size and timeout. With an infinite timeout the last batch starts after the
    last arrival, even if it is not full. The rest is as in `run_static`. Raises CourseError for a batcher that loses
    requests.
    """
    requests, report = as_requests(model, prompts, params), BatchReport()
    arrivals = [0.0] * len(requests) if arrivals is None else list(arrivals)
    if len(arrivals) != len(requests) or arrivals != sorted(arrivals) or not all(map(math.isfinite, arrivals)):
        raise ParameterError(
            f"{len(arrivals)} arrivals came for {len(requests)} prompts: {arrivals[:8]}. Give one for each, in "
            f"ascending order, in seconds."
        )
    batcher = DynamicBatcher(max_batch_size, timeout) if batcher is None else batcher
    coming, latencies, began = deque(zip(arrivals, requests)), {}, clock()
    while len(latencies) < len(requests):
        now = clock() - began
        while coming and coming[0][0] <= now:
            arrival, request = coming.popleft()
            request.arrival = arrival
            batcher.add(request, arrival)
        is_last = not coming and batcher.ready_at() == math.inf  # no other request arrives to fill it
        batch = batcher.take(math.inf if is_last else now)
        if batch:
            run_batch(model, batch, report)
            ended = clock() - began
            latencies.update((request.request_id, ended - request.arrival) for request in batch)
        else:
            times = [t for t in (batcher.ready_at(), coming[0][0] if coming else None) if t is not None]
            if not times or min(times) == math.inf:
                raise CourseError(
                    f"{len(requests) - len(latencies)} of {len(requests)} requests were added, and the batcher returns "
                    f"none of them any more. Does it keep the requests that it does not return?"
                )
            sleep(max(0.0, min(times) - now))
    outputs = [request.output_ids for request in requests]
    return outputs, [latencies[request.request_id] for request in requests], report
