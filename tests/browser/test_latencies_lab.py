"""The requests of a run in time, beside the timeline of the same run in JupyterLab: one step for both."""

import nbformat

SOURCES = [
    """from types import SimpleNamespace
from course_lib.kvcache import BlockAllocator, BlockTable
from course_lib.trace.records import Trace
from course_lib.viz import request_latencies, timeline_view
trace = Trace()
table = BlockTable(BlockAllocator(8, 4, trace=trace), name="a")
trace.add("queue", request="a", client="a", priority=0, num_tokens=5)
for start, count in ((0, 5), (5, 1), (6, 1)):
    table.append_slots(count)
    trace.add("schedule", requests=["a"], starts=[start], counts=[count])
    trace.next_step()
timeline = timeline_view(trace)
request = SimpleNamespace(arrival=0.0, first_scheduled=0.0, token_times=[0.01, 0.02, 0.03], finished=0.03)
view = request_latencies({"a": request}, [(0.0, 0.01), (0.01, 0.02), (0.02, 0.03)], timeline=timeline)
view""",
    "timeline",
    "print(view.step, timeline.step, timeline.selected)",
]
ALL_AT = "step => [...document.querySelectorAll('.cl-scrub')].every(one => one.value === step)"


def test_both_views_show_the_same_step(lab):
    kernel = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}}
    cells = [nbformat.v4.new_code_cell(source) for source in SOURCES]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), lab.root / "latencies.ipynb")
    with lab.open("latencies.ipynb") as notebook:
        notebook.run_all()
        latencies, timeline = notebook.views()
        latencies.works()
        latencies.press("End")
        notebook.page.wait_for_function(ALL_AT, arg="3")
        timeline.press("Home")
        notebook.page.wait_for_function(ALL_AT, arg="1")
        latencies.root.get_by_role("grid").focus()
        notebook.page.keyboard.press("ArrowDown")
        assert notebook.prints_in_the_end(2, "1 1 a\n") == "1 1 a\n"
