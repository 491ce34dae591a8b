"""`course bench`: serves a workload on an engine, a simulator or a server, and says what it was like.

    options.py            what the command was told, and its Workloads; parsing.py and together.py check it
    engine_target.py      serves them on the course's engine
    batch_target.py       serves them with static or dynamic batching
    simulator_target.py   serves them on a simulated engine
    server_target.py      sends them to an OpenAI-compatible address (completion_stream.py reads the answers)
    watch.py              what has ended so far, the live progress, and Ctrl-C
    record.py             the JSON of a run: results, intervals, and all that is needed to repeat it
    setting.py, drift.py  two parts of it: the machine and the versions; whether the run changed on the way
    table.py, compare.py  what is printed of one run, and of two
    series.py             several runs side by side: modes, and a sweep over loads with its knee
    pictures.py           one run over time, and a series

`run_bench` in run.py puts them together. Names are loaded on first use.
"""

from course_lib.lazy import lazily

__all__, __getattr__, __dir__ = lazily(
    __name__, {"options": "BenchOptions", "run": "run_bench", "compare": "compare_files"}
)
