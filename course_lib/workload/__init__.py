"""Requests as they come: when, how long, from whom; and a simulator that serves them on a cost model.

Names arrive on first use.
"""

from course_lib.lazy import lazily

__all__, __getattr__, __dir__ = lazily(
    __name__,
    {
        "arrivals": "AtOnce ClosedLoop Gamma Poisson Trace",
        "conversations": "Conversations",
        "cost": "CostModel roofline",
        "feed": "Feed",
        "length_sets": "LENGTH_SETS",
        "lengths": "Fixed Lengths LogNormal RecordedLengths Uniform",
        "prefixes": "SharedPrefixes",
        "simulate": "Cluster SimulationResult Transfer",
        "workload": "Arrival Workload",
    },
)
