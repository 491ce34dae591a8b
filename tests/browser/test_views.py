"""The views of the KV cache, of memory and of an engine in JupyterLab.

They move there, and what is chosen in the page is what Python reads.
"""

import nbformat

SOURCES = [
    """from course_lib.viz import cache_filling
steps = [{"first": 0, "count": 3, "kept": [3, 3], "naive_tokens": 3}]
steps += [{"first": n - 1, "count": 1, "kept": [n, n], "naive_tokens": n} for n in (4, 5, 6)]
shape = {"num_layers": 2, "num_heads": 4, "num_kv_heads": 2, "head_dim": 8, "bytes_per_number": 4}
filling = cache_filling(list("abcdef"), steps, **shape)
filling""",
    """from course_lib.kvcache import calculator_data
from course_lib.viz import kv_calculator
calculator = kv_calculator(**calculator_data(), model="Llama 3 8B", gpu="A100 80 GB")
calculator""",
    """from course_lib.kvcache.fragmentation import draw_requests, reserve_exact, reserve_maximum, simulate
from course_lib.viz import reserved_against_used
requests = draw_requests(20, mean_prompt=10, mean_output=20, max_tokens=64)
policies = {"the maximum": reserve_maximum(64), "exact": reserve_exact}
runs = {name: simulate(requests, reserve, 300, 30) for name, reserve in policies.items()}
reserved = reserved_against_used(runs, 300)
reserved""",
    """from course_lib.kvcache import BlockAllocator, BlockTable
from course_lib.trace.records import Trace
from course_lib.viz import memory_view
trace = Trace()
first = BlockTable(BlockAllocator(24, 4, trace=trace), name=0)
for _ in range(20): first.append_slots(1)
second = first.fork(name=1)
second.append_slots(3)
memory = memory_view(trace)
memory""",
    """from course_lib.viz import timeline_view
happened = Trace()
second = BlockTable(BlockAllocator(8, 4, trace=happened), name="0")
happened.add("queue", request="0", client="a", priority=0, num_tokens=5)
for start, count in ((0, 5), (5, 1), (6, 1)):
    second.append_slots(count)
    happened.add("schedule", requests=["0"], starts=[start], counts=[count])
    happened.next_step()
timeline = timeline_view(happened)
timeline""",
    "print(filling.selected, calculator.settings['gpu'], calculator.settings['usable'], calculator.requests, "
    "reserved.policy, memory.selected, timeline.selected)",
]


def test_the_views_of_the_cache_move_and_python_reads_what_is_chosen(lab):
    cells = [nbformat.v4.new_code_cell(source) for source in SOURCES]
    kernel = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), lab.root / "cache_views.ipynb")
    with lab.open("cache_views.ipynb") as notebook:
        notebook.run_all()
        filling, reserved, memory, timeline = notebook.views()  # the calculator has no player
        for view in (filling, reserved, memory, timeline):
            view.works()
        page = notebook.page
        filling.root.get_by_role("grid").focus()
        for key in ("ArrowDown", "ArrowDown"):  # the first starts at the newest column
            page.keyboard.press(key)
        calculator = page.locator("section.cl-calculator")
        calculator.get_by_label("GPU").select_option("H200")
        slider = calculator.get_by_label("share of the memory usable")
        slider.focus()
        page.keyboard.press("ArrowRight")
        reserved.root.get_by_role("radio", name="exact").click()
        shown = calculator.locator(".cl-big b").inner_text()
        memory.root.get_by_role("grid", name="Block tables").focus()
        for key in ("ArrowDown", "ArrowDown", "End"):
            page.keyboard.press(key)
        timeline.root.get_by_role("grid", name="Requests").focus()
        page.keyboard.press("ArrowDown")
        wanted = f"[0, 1, 5] H200 91 {shown} exact 5 0\n"
        assert notebook.prints_in_the_end(5, wanted) == wanted
        assert notebook.cells()[5]["count"] is not None  # the keys pressed inside a view reached no cell
