"""Many requests at once: who runs next, one run of the model for all of them, and who is done.

Names arrive on first use.
"""

from course_lib.lazy import lazily

__all__, __getattr__, __dir__ = lazily(
    __name__,
    {
        "engine": "Engine",
        "config": "EngineConfig",
        "metrics": "EngineMetrics RequestMetrics",
        "policies": "FCFS Fair Policy Priority",
        "request": "Request",
        "outputs": "RequestOutput",
        "scheduler": "Scheduler",
        "speculation": "DraftModel NGram Speculation",
        "step": "Step ScheduledSequence",
        "summary": "Summary Targets Totals summarise",
    },
)
