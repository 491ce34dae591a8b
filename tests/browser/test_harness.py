"""The browser tests' own tools: what they must notice, they notice."""

import nbformat
import pytest
from lab import is_here


def write(lab, name, *sources, tags=()):
    cells = [nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)}) for source in sources]
    kernel = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), lab.root / name)
    return name


def test_a_failing_cell_is_noticed(lab):
    with lab.open(write(lab, "fails.ipynb", "1 + 1", "1 / 0")) as page:
        with pytest.raises(AssertionError, match="cell 1 ends in ZeroDivisionError"):
            page.run_all()


def test_an_announced_error_stops_nothing(lab):
    with lab.open(write(lab, "announced.ipynb", "1 / 0", "2 + 2", tags=["raises-exception"])) as page:
        page.run_all()
        assert page.cells()[1]["outputs"][0]["data"]["text/plain"] == "4"


def test_a_console_error_is_noticed(lab):
    with pytest.raises(AssertionError, match="console:\nbroken view"):
        with lab.open(write(lab, "noisy.ipynb", "1")) as page:
            page.page.evaluate("console.error('broken view')")


def test_a_request_to_another_machine_is_stopped_and_noticed(lab):
    with pytest.raises(AssertionError, match="asked other machines: .*192.0.2.1"):
        with lab.open(write(lab, "asks.ipynb", "1")) as page:
            page.page.evaluate("fetch('http://192.0.2.1/style.css').catch(() => null)")


def test_which_requests_stay_here():
    assert is_here("http://127.0.0.1:8888/lab") and is_here("data:image/png;base64,AA==")
    assert not is_here("https://example.org/x.js")


def test_a_kernel_that_ends_is_noticed(lab):
    with pytest.raises(AssertionError, match="the kernel stopped"):
        with lab.open(write(lab, "ends.ipynb", "import os; os._exit(1)")) as page:
            page.run_all()
