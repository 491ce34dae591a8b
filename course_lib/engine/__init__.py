"""Many requests at once: who runs next, one run of the model for all of them, and who is done.

Names arrive on first use.
"""

from ..lazy import lazily

__all__, __getattr__, __dir__ = lazily(__name__, {
    "batches": "Batch count_batches simulate_batches waits",
    "dynamic": "DynamicBatcher run_dynamic",
    "engine": "Engine",
    "config": "EngineConfig",
    "policies": "FCFS Fair Policy Priority",
    "request": "Request RequestOutput",
    "scheduler": "Scheduler Step",
    "static": "BatchReport run_static",
})
