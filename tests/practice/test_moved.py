"""Code that was saved with the names of earlier versions goes on running."""

import json
import shutil
from importlib import import_module
from pathlib import Path

import pytest
import torch

from course_lib.machine.device import setup
from course_lib.practice import play, workbook
from course_lib.practice.check import judge
from course_lib.practice.judge import registry
from course_lib.practice.progress.moved import IN_PLAY, MODULES, NAMES, now, renewed

BEFORE = Path(__file__).parent / "progress_before_rooms.json"
"""A progress.json of an earlier version, in which every exercise was passed with its solution."""


@pytest.fixture
def old_home(home):
    setup(quiet=True)  # decides how Triton runs here, before a saved kernel imports it
    home.mkdir()
    shutil.copy(BEFORE, home / "progress.json")
    return home


def test_a_workbook_of_before_loads_as_a_whole(old_home):
    entries, notices = workbook.entries()
    saved = json.loads(BEFORE.read_text(encoding="utf-8"))["exercises"]  # those of later lessons are not in it
    assert notices == [] and len(saved) == 52 and list(entries) == [key for key in registry.ids() if key in saved]
    for key, entry in entries.items():
        assert entry.state == "done"
        assert workbook.load(key).__name__ == registry.find(key).name


@pytest.mark.parametrize(
    "key", ["04.allocator", "05.copy_on_write", "08.store_kv", "10.continuous_loop", "11.fair_share"]
)
def test_what_was_saved_before_still_passes(old_home, key):
    result = judge(registry.find(key), workbook.load(key), slow=False)
    assert result, str(result)


SAVED = '''\
import torch
from course_lib.practice.no_triton import tl
from course_lib.practice.no_triton import triton
from course_lib.practice.tiny_attention import Watch, qkv
from course_lib.practice.lesson10_step import scheduler_of
from course_lib.practice.seeded import seeded as broken
from course_lib.attention.recorder import record_accesses
from course_lib.attention.flash import flash_attention
from course_lib.trace import Trace
from course_lib.kvcache import BlockAllocator


@triton.jit
def kernel(x_ptr, N: tl.constexpr):
    pass


def greedy(logits):
    """from course_lib.reading import nothing"""
    from course_lib.engine import Engine, run_static; from course_lib.reading import wrapped  # both were there
    from course_lib.attention import (
        flash,
        recorder as watching,
    )
    assert wrapped("a b") == "a b" and run_static.__module__.startswith("course_lib.batching") and Engine
    assert flash.flash_attention is flash_attention and watching.record_accesses is record_accesses
    assert scheduler_of and broken("ignored", 1) and Watch and qkv(1, 1) and Trace and BlockAllocator
    return int(logits.argmax())
'''


def test_names_of_before_are_found_where_they_are_now(home):
    setup(quiet=True)
    workbook.record_check("01.greedy", {"when": "", "name": "greedy", "source": SAVED})
    assert judge(registry.find("01.greedy"), workbook.load("01.greedy"), slow=False)
    assert '"""from course_lib.reading import nothing"""' in renewed(SAVED)


def test_code_of_today_and_what_is_no_python_stay_as_they_are():
    for text in (
        "from course_lib.practice import check\nfrom course_lib.attention.reference import masks\n",
        "from course_lib.practice.play import qkv  # as it is\n",
        "from course_lib.practice.nowhere import nothing\n",
        "def f(:\n",
        "",
    ):
        assert renewed(text) == text


def test_what_is_saved_today_names_play_and_nothing_inside():
    from course_lib.practice.progress.sources import take

    name, source = take(uses_play, "uses_play")
    assert name == "uses_play" and "fixtures" not in source
    assert source.startswith("from course_lib.practice.play import qkv as play_qkv\n")


def uses_play(n):
    return play_qkv(n, n)


play_qkv = play.qkv


def test_a_page_with_names_of_before_runs():
    """In notebooks nothing is rewritten: earlier names of what a check prints are still there."""
    from course_lib.kvcache import ContiguousCache

    shape = play.Shape(2, 1, 1, 4)
    old, new = (ContiguousCache(shape, 8, device="cpu", dtype=torch.float32) for _ in range(2))
    outs = play.push(old, shape, 0, 3, text=1)
    assert len(outs) == 2
    assert all(map(torch.equal, outs, play.run_layers(new, shape, 0, 3, sequence=1)))
    model = play.TinyModel()
    model(torch.tensor([1, 2]), torch.arange(2), play.AddingCache())
    assert model.pushed == model.computed == [2]


def test_every_place_in_the_table_exists():
    for module in MODULES.values():
        if "triton" not in module and "kernels" not in module:
            import_module(module)
    for module, names in NAMES.items():
        assert all(hasattr(import_module(home), name) for name, home in names.items()), module
    assert set(IN_PLAY.values()) <= set(play.__all__)
    assert now("course_lib.practice.rungs", "here") == ("course_lib.practice.play", "here")


def test_the_file_of_before_holds_names_that_have_moved():
    sources = [entry["passed"]["source"] for entry in json.loads(BEFORE.read_text())["exercises"].values()]
    assert sum(renewed(source) != source for source in sources) >= 2
