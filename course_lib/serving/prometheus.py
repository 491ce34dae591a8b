"""/metrics: what the engine does, in the names of vLLM's Prometheus metrics, so that its dashboards read ours.

Gauges and the totals of EngineMetrics are read from the engine when somebody asks; latencies are counted when a
sequence ends.
"""

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0)
HISTOGRAMS = {
    "time_to_first_token_seconds": "From the arrival of a request to its first token.",
    "inter_token_latency_seconds": "From one token of a sequence to the next.",
    "e2e_request_latency_seconds": "From the arrival of a request to its end.",
    "request_queue_time_seconds": "From the arrival of a request to its first step.",
}


class ServerMetrics:
    """The metrics of one engine. engine: an Engine. model_name: their label."""

    def __init__(self, engine, model_name):
        self._engine, self._model_name = engine, model_name
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._finished = {}  # finish_reason -> sequences
        self._histograms = {
            name: Histogram(f"vllm:{name}", text, ["model_name"], registry=self._registry, buckets=SECONDS).labels(
                model_name
            )
            for name, text in HISTOGRAMS.items()
        }

    def count(self, output):
        """A sequence has ended: its last RequestOutput. Called in the engine's thread."""
        self._finished[output.finish_reason] = self._finished.get(output.finish_reason, 0) + 1
        metrics, seen = output.metrics, self._histograms
        if metrics.ttft is not None:
            seen["time_to_first_token_seconds"].observe(metrics.ttft)
            seen["request_queue_time_seconds"].observe(metrics.queue_time)
        for gap in metrics.inter_token_latencies:
            seen["inter_token_latency_seconds"].observe(gap)
        if metrics.is_complete:
            seen["e2e_request_latency_seconds"].observe(metrics.e2e_latency)

    def text(self):
        """What GET /metrics answers: bytes."""
        return generate_latest(self._registry)

    def collect(self):
        """For prometheus_client: what is read from the engine now."""
        engine, totals = self._engine, self._engine.metrics
        allocator = engine.allocator
        looked_for = totals.num_prompt_tokens if engine.config.prefix_caching else 0
        for name, text, value in (
            ("num_requests_running", "Sequences that run.", len(engine.scheduler.running)),
            ("num_requests_waiting", "Requests that wait.", len(engine.scheduler.waiting)),
            ("kv_cache_usage_perc", "Share of the blocks in use, 0 to 1.",
             1 - allocator.num_free / allocator.num_blocks),
        ):  # fmt: skip
            yield self._family(GaugeMetricFamily, name, text, value)
        for name, text, value in (
            ("prompt_tokens", "Tokens of all prompts that were admitted.", totals.num_prompt_tokens),
            ("generation_tokens", "Tokens that were chosen.", totals.num_generated_tokens),
            ("prefix_cache_queries", "Prompt tokens that were looked for in the prefix cache.", looked_for),
            ("prefix_cache_hits", "Prompt tokens that were cached.", totals.num_cached_prompt_tokens),
            ("num_preemptions", "Preemptions.", totals.num_preemptions),
        ):  # fmt: skip
            yield self._family(CounterMetricFamily, name, text, value)
        ended = CounterMetricFamily(
            "vllm:request_success", "Ended sequences.", labels=["model_name", "finished_reason"]
        )
        for reason, number in sorted(self._finished.copy().items()):
            ended.add_metric([self._model_name, reason], number)
        yield ended

    def _family(self, kind, name, text, value):
        family = kind(f"vllm:{name}", text, labels=["model_name"])
        family.add_metric([self._model_name], value)
        return family
