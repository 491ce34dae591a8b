"""Requests as they come: when, how long, from whom; and a simulator that serves them on a cost model.

    Workload, Feed          what is asked, by one client or several, in the order of arrival    workload.py, feed.py
    drive                   serves a Feed on the real engine                                    drive.py
    calibrate, fit          the CostModel of a machine, from a short run                        calibrate.py, cost.py
    simulate, Cluster       serves it on the real scheduler and ledger and a cost model         simulate.py, replica.py

Each way brings RequestMetrics; `course_lib.engine.summary` and `intervals` say what a run was like. Names are loaded on
first use; `simulate`, `drive` and `calibrate` are imported from their modules, which have the same names.
"""

from course_lib.lazy import lazily

__all__, __getattr__, __dir__ = lazily(
    __name__,
    {
        "arrivals": "AtOnce ClosedLoop Gamma Poisson Trace",
        "conversations": "Conversations",
        "cost": "CostModel roofline",
        "drafts": "SimulatedDrafts decode_rate losing_batch",
        "feed": "Feed",
        "length_sets": "LENGTH_SETS",
        "lengths": "Fixed Lengths LogNormal RecordedLengths Uniform",
        "prefixes": "SharedPrefixes",
        "routed": "Bursts serve_routed",
        "simulate": "Cluster SimulationResult Transfer",
        "workload": "Arrival Workload",
    },
)
