"""What is kept of a passed answer stands alone: in another process, without the notebook."""

import json
import os
import subprocess
import sys

import pytest

from course_lib.errors import CourseError
from course_lib.practice import check
from course_lib.practice.lessons.l01.greedy import greedy
from course_lib.practice.progress import workbook
from course_lib.source.extract import outside_names

# Run in a real IPython shell, cell by cell, as a notebook does; then the answers are loaded in a fresh process.
CELLS = [
    "import math\nimport torch\nimport torch.nn.functional as F\nfrom course_lib import check\nfrom course_lib.kvcache import Recompute\nOPENING = 'Once upon a time, in a quiet harbour, there lived a patient otter named'",
    "def close(text):\n    return text + '.'",
    "def hello(name):\n    return close(f'{OPENING} {name}')",
    "first = check('00.hello', hello)",
    "greedy = lambda logits: int(F.pad(logits, (0, 1), value=-float('inf')).argmax())",
    "second = check('01.greedy', greedy)",
    "third = check('01.greedy', lambda logits: int(logits.argmax()))",
    "class Counter:\n    def __call__(self, p, n):\n        return (0, 0)",
    "class Counter:\n    'The newest one counts.'\n    def total(self, p, n):\n        return sum(range(p, p + n)), sum(math.comb(m + 1, 2) for m in range(p, p + n))",
    "def count_work(prompt_tokens, new_tokens):\n    return Counter().total(prompt_tokens, new_tokens)",
    "fourth = check('01.count_work', count_work)",
    "calls = torch.zeros(1)\ndef generate(model, token_ids, max_tokens, stop_token_ids=()):\n    ids = list(token_ids)\n    for _ in range(max_tokens):\n        ids.append(int(model(torch.tensor(ids), torch.arange(len(ids)), Recompute())[-1].argmax()))\n        calls.add_(1)\n        if ids[-1] in stop_token_ids: break\n    return ids[len(token_ids):]",
    "from course_lib.practice.judge import registry; from course_lib.practice.check import judge, recorded; ex = registry.find('01.generate'); fifth = recorded(judge(ex, generate, slow=False), generate)",
]
SHELL = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in json.loads(sys.argv[1]):
    shell.run_cell(cell, store_history=True).raise_error()
print(json.dumps({name: [bool(shell.user_ns[name]), shell.user_ns[name].notices] for name in ("first", "second", "third", "fourth", "fifth")}))
"""
FRESH = """
import torch
from course_lib.practice import workbook
print(workbook.load("00.hello")("Mia"), workbook.load("01.greedy")(torch.tensor([1., 3., 3.])), workbook.load("01.count_work")(2, 2))
"""


def python(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"IPYTHONDIR": os.environ["COURSE_HOME"]},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().split("\n")[-1]


def test_answers_from_a_notebook_work_in_a_fresh_process(home):
    results = json.loads(python(SHELL, json.dumps(CELLS)))
    assert all(passed for passed, _ in results.values())
    for kept in ("first", "second", "fourth"):
        assert results[kept][1] == [], results[kept]
    assert "Give it a name with `def`" in results["third"][1][0]  # and the pass before it is not lost
    assert "it uses `calls` of your notebook, an object of type Tensor" in results["fifth"][1][0]
    assert python(FRESH) == "Once upon a time, in a quiet harbour, there lived a patient otter named Mia. 1 (5, 9)"
    source = workbook.entry("01.count_work").passed["source"]
    assert source.startswith("import math\n") and "The newest one counts." in source


# The same where the kernel keeps no history: then a class is found through its methods, which know the cell they
# come from.
CLASS_CELLS = [
    "import math\nfrom dataclasses import dataclass\nfrom course_lib import check",
    "class Counter:\n    def total(self, p, n):\n        return 0, 0",
    "@dataclass\nclass Counter:\n    'The newest one counts.'\n    order: int = 2\n\n    def total(self, p, n):\n"
    "        return sum(range(p, p + n)), sum(math.comb(m + 1, self.order) for m in range(p, p + n))\n\n\nclass Bare:\n    size = 3",
    "def count_work(prompt_tokens, new_tokens):\n    return Counter().total(prompt_tokens, new_tokens)",
    "first = check('01.count_work', count_work)",
    "def count_work(prompt_tokens, new_tokens):\n    return Counter(Bare.size - 1).total(prompt_tokens, new_tokens)",
    "second = check('01.count_work', count_work)",
]


def test_a_class_is_found_through_its_methods_where_no_history_is_kept(home):
    shell = SHELL.replace("store_history=True", "store_history=False").replace(
        '("first", "second", "third", "fourth", "fifth")', '("first", "second")'
    )
    results = json.loads(python(shell, json.dumps(CLASS_CELLS)))
    assert results["first"] == [True, []]
    assert results["second"][0] and "the text of `Bare` was not found" in results["second"][1][0]  # it has no methods
    source = workbook.entry("01.count_work").passed["source"]
    assert (
        "@dataclass\nclass Counter:\n    'The newest one counts.'\n    order: int = 2" in source
        and "Bare" not in source
    )
    fresh = 'from course_lib.practice import workbook; print(workbook.load("01.count_work")(2, 2))'
    assert python(fresh) == "(5, 9)"


def test_loading_what_was_never_passed_or_never_saved_says_what_to_do():
    with pytest.raises(CourseError, match='not passed yet.*check\\("01.greedy", greedy\\)'):
        workbook.load("01.greedy")

    def made_inside(logits, best=None):
        return outside(logits)

    outside = greedy
    result = check("01.greedy", made_inside)
    assert result and "it is made inside another function" in result.notices[0] and not result.kept
    with pytest.raises(CourseError, match="its code was not saved: it is made inside"):
        workbook.load("01.greedy")


def test_a_later_pass_without_code_does_not_take_away_the_code():
    assert check("01.greedy", greedy).kept
    check("01.greedy", lambda logits: int(logits.argmax()))
    assert workbook.load("01.greedy").__name__ == "greedy"


def test_a_later_failure_does_not_take_away_the_pass():
    check("01.greedy", greedy)
    check("01.greedy", lambda logits: 0)
    assert workbook.entry("01.greedy").passed and workbook.entry("01.greedy").attempts == 2


memory = []


def greedy_that_needs_its_past(logits):
    memory.append(1)
    return int(logits.argmax()) if len(memory) > 100 else int(logits.argmax())


def test_constants_helpers_and_imports_come_along():
    result = check("01.greedy", greedy_that_needs_its_past)
    assert result.kept and "memory = [" in workbook.entry("01.greedy").passed["source"]


def test_the_error_of_a_loaded_answer_shows_its_line():
    import traceback

    workbook.record_check(
        "01.greedy", {"when": "", "name": "greedy", "source": "def greedy(logits):\n    return 1 / 0\n"}
    )
    try:
        workbook.load("01.greedy")(None)
    except ZeroDivisionError:
        assert "return 1 / 0" in traceback.format_exc()


@pytest.mark.parametrize(
    "text, names",
    [
        ("def top(x):\n    return x", []),
        ("def f(x, y=start):\n    z = x\n    return [helper(i) for i in z] + len(y)", ["helper", "start"]),
        ("@wrap\ndef f():\n    import math\n    return math.pi", ["wrap"]),
        (
            "class A(Base):\n    size = 3\n    twice = size * factor\n    def f(self) -> Kind:\n        return lambda: deep",
            ["Base", "Kind", "deep", "factor"],
        ),
        ("def f(n):\n    return f(n - 1) if n else 0", []),
    ],
)
def test_the_names_that_code_takes_from_around_it(text, names):
    assert outside_names(text) == names
