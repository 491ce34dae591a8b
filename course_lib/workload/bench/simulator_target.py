"""A simulated engine as what is measured: the real scheduler and ledger, and a cost model."""

from dataclasses import asdict, replace

from course_lib.models import load_model
from course_lib.models.folder import find_folder
from course_lib.models.weights import read_config

from ..calibrate import calibrate
from ..drive import WallClock
from ..simulate import Cluster
from .engine_target import engine_counts, warm_engine

DEFAULT_BLOCKS = 1024


class SimulatorTarget:
    """One simulated engine for a model. Without --cost, the cost model is measured here, in up to a minute."""

    def __init__(self, options):
        self.name, config = options.model or "tale", options.engine_config()
        self.config = replace(config, num_blocks=config.num_blocks or DEFAULT_BLOCKS)
        if options.cost is not None:
            self.cost, shape = options.cost_model(), read_config(find_folder(self.name, weights=False))
        else:
            model, _ = load_model(self.name)
            clock, shape = WallClock(), model.config
            self.cost, _ = calibrate(warm_engine(model, self.config, clock), clock)
        self.limits = {
            "context": min(shape.context, self.config.num_blocks * self.config.block_size),
            "vocab_size": shape.vocab_size,
        }
        self._cluster = None

    def serve(self, feed, watch):
        """Serves the Feed to its end. Raises Interrupted."""
        totals = watch.totals if watch.requests is None else None
        cluster = self._cluster = Cluster(
            feed, self.config, self.cost, totals=totals,
            on_finish=lambda arrival, metrics: watch.ended(metrics, client=arrival.client),
        )  # fmt: skip
        [replica] = cluster.replicas
        while cluster.advance():
            watch.memory.add(cluster.now, replica.kv_use)
            watch.tick(cluster.now, feed.num_open)

    def about(self):
        """What is measured, for the JSON."""
        return {"kind": "simulator", "model": self.name, "engine_config": asdict(self.config), "cost": vars(self.cost)}

    def counts(self):
        """What only an engine knows of the run, for the JSON."""
        return engine_counts(self._cluster.replicas[0].metrics)
