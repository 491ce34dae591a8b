"""The course's engine as what is measured, in this process."""

from dataclasses import asdict

from course_lib.engine import Engine
from course_lib.engine.memory_use import memory_use
from course_lib.engine.metrics import EngineMetrics
from course_lib.engine.tensor_parallel import open_model

from ..drive import WallClock, drive

LONGEST_WAIT_S = 0.1
WARM_UP = [[5] * 40] * 4


class PatientClock(WallClock):
    """A WallClock whose waits are short, so that Ctrl-C is noticed. on_wait: called after each."""

    def __init__(self, on_wait):
        self.on_wait = on_wait

    def wait(self, seconds):
        super().wait(min(seconds, LONGEST_WAIT_S))  # `drive` asks again for the rest
        self.on_wait()


def warm_engine(model, config, clock):
    """An engine that has served something, so that no first call of anything is measured, with its totals at 0."""
    engine = Engine(model, config, trace=False, clock=clock)
    engine.generate(WARM_UP)
    engine.metrics = EngineMetrics(engine.allocator.num_blocks, config.block_size)
    return engine


class EngineTarget:
    """A model on the engine. Raises ModelError for a model that cannot be loaded."""

    def __init__(self, options):
        self.name, self.config = options.model or "tale", options.engine_config()
        self.model, _ = open_model(self.name, self.config)
        self._on_wait = lambda: None
        self.clock = PatientClock(lambda: self._on_wait())
        self.engine = warm_engine(self.model, self.config, self.clock)
        room = self.engine.allocator.num_blocks * self.config.block_size
        self.limits = {"context": min(self.model.config.context, room), "vocab_size": self.model.config.vocab_size}

    def serve(self, feed, watch):
        """Serves the Feed to its end. Raises Interrupted."""
        start = self.clock()

        def tick():
            watch.tick(self.clock() - start, feed.num_open)

        def step():
            tick()
            outputs = self.engine.step()
            free = self.engine.allocator.num_free
            watch.memory.add(self.clock() - start, 1 - free / self.engine.allocator.num_blocks)
            return outputs

        self._on_wait = tick
        drive(
            self.engine, feed, self.clock, step=step,
            on_finish=lambda arrival, _, metrics: watch.ended(metrics, client=arrival.client),
        )  # fmt: skip

    def about(self):
        """What is measured, for the JSON."""
        model = self.model
        config = asdict(self.config) | {"num_blocks": self.engine.allocator.num_blocks}
        return {"kind": "engine", "model": self.name, "device": str(model.device),
                "dtype": str(model.dtype).removeprefix("torch."), "engine_config": config}  # fmt: skip

    def counts(self):
        """What only an engine knows of the run, for the JSON."""
        metrics, memory = self.engine.metrics, memory_use(self.engine)
        return engine_counts(metrics) | asdict(memory)


def engine_counts(metrics):
    """The totals of EngineMetrics and what they say about the KV cache."""
    more = ("prefix_hit_rate", "kv_use", "kv_waste", "peak_kv_use")
    return vars(metrics) | {name: getattr(metrics, name) for name in more}
