"""`course bench`: serves a workload on an engine, a simulator or a server, and says what it was like.

    options.py            what the command was told, checked, and the Workload that it means
    engine_target.py      serves it on the course's engine
    simulator_target.py   serves it on a simulated engine
    server_target.py      sends it to an OpenAI-compatible address (completion_stream.py reads the answers)
    watch.py              what has ended so far, the live progress, and Ctrl-C
    record.py             the JSON of a run: results, intervals, and all that is needed to repeat it
    setting.py, drift.py  two parts of it: the machine and the versions; whether the run changed on the way
    table.py, compare.py  what is printed of one run, and of two; pictures.py draws one

`run_bench` in run.py puts them together. Names are loaded on first use.
"""

from course_lib.lazy import lazily

__all__, __getattr__, __dir__ = lazily(
    __name__, {"options": "BenchOptions", "run": "run_bench", "compare": "compare_files"}
)
