"""Static and dynamic batching as what is measured: the loops of lesson 09, for comparison with the engine."""

import math

from course_lib.batching import BatchReport, DynamicBatcher
from course_lib.batching.static import as_requests, run_batch
from course_lib.decoding.sampling import SamplingParams
from course_lib.engine.memory_use import peak_bytes
from course_lib.engine.metrics import RequestMetrics
from course_lib.models import load_model

from .engine_target import WARM_UP, PatientClock

DEFAULT_BATCH_SIZE, DEFAULT_TIMEOUT_S = 8, 0.05


class BatchTarget:
    """A model that serves one batch after the other. With mode "static" a batch waits until it is full.

    A token counts when it is chosen, as if it were streamed. What a request pays for its batch is the wait before the
    batch starts, and the steps that its longer neighbours keep going. Where no further request is known, a static batch
    starts as it is, as in `run_static`.
    """

    def __init__(self, options):
        self.name, [self.mode] = options.model or "tale", options.mode
        self.batch_size = options.batch_size or DEFAULT_BATCH_SIZE
        timeout = DEFAULT_TIMEOUT_S if options.batch_timeout is None else options.batch_timeout
        self.timeout = math.inf if self.mode == "static" else timeout
        self.model, _ = load_model(self.name)
        self.limits = {"context": self.model.config.context, "vocab_size": self.model.config.vocab_size}
        self.report = BatchReport()
        run_batch(self.model, as_requests(self.model, WARM_UP, params_for(4)), BatchReport())

    def serve(self, feed, watch):
        """Serves the Feed to its end. Raises Interrupted."""
        clock = PatientClock(lambda: tick())
        start = clock()

        def tick():
            watch.tick(clock() - start, feed.num_open)

        batcher = DynamicBatcher(self.batch_size, self.timeout)
        while not feed.is_over:
            for arrival in feed.due(clock() - start):
                batcher.add(arrival, arrival.at)
            is_last = feed.next_at is None and batcher.ready_at() == math.inf
            batch = batcher.take(math.inf if is_last else clock() - start)
            if batch:
                self._serve_batch(batch, feed, watch, lambda: clock() - start, tick)
            else:
                times = [at for at in (batcher.ready_at(), feed.next_at) if at is not None]
                clock.wait(min(times) - (clock() - start))

    def _serve_batch(self, batch, feed, watch, now, tick):
        begin, token_times = now(), {}
        prompts, params = zip(*((arrival.token_ids, params_for(arrival.max_tokens)) for arrival in batch))
        requests = as_requests(self.model, prompts, params)

        def on_tokens(grown):
            for request in grown:
                token_times.setdefault(request.request_id, []).append(now())
            tick()

        run_batch(self.model, requests, self.report, on_tokens=on_tokens)
        for arrival, request in zip(batch, requests):
            times = token_times[request.request_id]
            metrics = RequestMetrics(arrival.at, len(arrival.token_ids), begin, times, times[-1],
                                     num_computed_tokens=request.num_tokens - 1, finish_reason="length")  # fmt: skip
            watch.ended(metrics, client=arrival.client)
            feed.finished(arrival, request.output_ids, now())

    def about(self):
        """What is measured, for the JSON."""
        model = self.model
        about = {"kind": self.mode, "model": self.name, "device": str(model.device),
                 "dtype": str(model.dtype).removeprefix("torch."), "batch_size": self.batch_size}  # fmt: skip
        return about if self.mode == "static" else about | {"timeout_s": self.timeout}

    def counts(self):
        """What only the loop knows of the run, for the JSON."""
        return vars(self.report) | {"waste": self.report.waste, "peak_bytes": peak_bytes(self.model.device)}


def params_for(max_tokens):
    """Always the full length."""
    return SamplingParams(max_tokens=max_tokens, ignore_eos=True)
