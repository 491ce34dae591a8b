"""The decode steps of recorded("13") as the rows that viz.step_strip draws.

Whole steps are the sums over all launches of each kernel, and say so; `beginning` has kernels in order.
"""

from . import recorded

BEFORE, NOW, KERNELS = 0, 1, 2  # the tables of recorded("13")
IN_ORDER = 5  # the table with the order of the kernels


def steps_of_one_sequence():
    """Three rows for one sequence: the step before this lesson's changes, the same kernels in one graph, and now."""
    run = recorded("13")
    _, columns, rows = run.tables[BEFORE]
    before = dict(zip(columns, rows[0]))
    limit, graph = 1e3 * before["limit, ms"], 1e3 * before["in one graph, ms"]
    attention, products = 1e3 * before["attention, ms"], 1e3 * before["products, ms"]
    kernels = [
        ("all products", "weights", None, products, 0, None),
        ("attention", "attention", None, attention, 0, None),
        ("all other kernels", "small", None, graph - products - attention, 0, None),
    ]
    waiting = ("no kernel", "idle", None, 1e3 * before["eager, ms"] - graph)
    eager = {
        "name": "before, eager",
        "ordered": False,
        "limit": limit,
        "took": 1e3 * before["eager, ms"],
        "kernels": [*kernels, waiting],
        "total": before["kernels"],
        "note": "the kernels take at most as long as in the graph, so at least the hatched time passes without one",
    }
    in_graph = {
        "name": "the same kernels in one graph",
        "ordered": False,
        "limit": limit,
        "kernels": kernels,
        "total": before["kernels"],
    }
    return [eager, in_graph, steps_now()[0] | {"name": "now: fused kernels in one graph"}]


def steps_now():
    """A row for each number of sequences of table 1: the step as a graph of fused kernels."""
    run = recorded("13")
    _, columns, rows = run.tables[NOW]
    made = []
    for row in rows:
        step = dict(zip(columns, row))
        sequences = step["sequences"]
        kernels = [
            (name, group, None, us, launches, None)
            for count, name, group, launches, us in run.tables[KERNELS][2]
            if count == sequences and name != "no kernel"  # a graph has less of it without the profiler
        ]
        rest = 1e3 * step["the GPU alone, ms"] - sum(kernel[3] for kernel in kernels)
        if rest > 0:
            kernels.append(("no kernel, or one that is not listed", "idle", None, rest, 0, None))
        few = "1 sequence" if sequences == 1 else f"{sequences} sequences"
        made.append(
            {
                "name": few,
                "ordered": False,
                "limit": 1e3 * step["limit, ms"],
                "took": 1e3 * step["ms"],
                "kernels": kernels,
                "total": step["kernels"],
            }
        )
    return made


def beginning(count):
    """A row: the first `count` kernels of the step of one sequence as it is now, in order."""
    kernels = [tuple(row) for row in recorded("13").tables[IN_ORDER][2]]
    return {"name": f"the first {count} kernels", "kernels": kernels[:count]}
