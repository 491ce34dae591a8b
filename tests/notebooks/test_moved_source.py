"""A notebook that shows the library's source is built again when that source moves or changes."""

import nbformat
import pytest

from course_lib.authoring.faults import faults

SOURCE = "import torch\n\n\ndef f(x):\n    return x\n"
SHOWN = "# course_lib/x.py, line 4\ndef f(x):\n    return x\n"


@pytest.mark.parametrize(
    ("now", "found"),
    [
        (SOURCE, []),
        (SOURCE + "\n\ndef g(): ...\n", []),
        ("\n" + SOURCE, ["moved"]),
        (SOURCE.replace("return x", "return -x"), ["moved"]),
        (None, ["moved"]),
    ],
    ids=["as shown", "more below", "moved", "changed", "file gone"],
)
def test_source_that_stands_elsewhere_now(tmp_path, now, found):
    (tmp_path / "course_lib").mkdir()
    if now is not None:
        (tmp_path / "course_lib" / "x.py").write_text(now)
    output = nbformat.v4.new_output("display_data", {"text/plain": SHOWN, "text/markdown": "…"})
    cell = nbformat.v4.new_code_cell("show(f)", execution_count=1, outputs=[output])
    moved = "cell 1 shows source that no longer stands at course_lib/x.py, line 4"
    assert faults(nbformat.v4.new_notebook(cells=[cell]), tmp_path) == [moved] * len(found)
