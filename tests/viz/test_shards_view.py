"""A layer on several GPUs: parts, words and bytes by hand; refusals; the same in a browser."""

import base64

import pytest

from course_lib.errors import ParameterError
from course_lib.viz import layer_on_gpus

SIZES = dict(hidden_size=256, num_heads=4, num_kv_heads=2, head_dim=64, intermediate_size=640)


@pytest.fixture
def two():
    return layer_on_gpus(2, **SIZES, num_tokens=3, bytes_per_number=4)


@pytest.mark.parametrize(
    "num_gpus, heads, kv_heads, expected",
    [
        (1, 4, 2, [([0, 4], [0, 2])]),
        (2, 4, 2, [([0, 2], [0, 1]), ([2, 4], [1, 2])]),
        (4, 4, 2, [([0, 1], [0, 1]), ([1, 2], [0, 1]), ([2, 3], [1, 2]), ([3, 4], [1, 2])]),
        (2, 6, 3, [([0, 3], [0, 2]), ([3, 6], [1, 3])]),
    ],
)
def test_a_gpu_has_the_kv_heads_that_its_query_heads_read(num_gpus, heads, kv_heads, expected):
    view = layer_on_gpus(num_gpus, **SIZES | dict(num_heads=heads, num_kv_heads=kv_heads))
    assert [(gpu["heads"], gpu["kv"]) for gpu in view.data["gpus"]] == expected


def test_two_sums_a_layer_are_sent_and_nothing_else(two):
    assert two.last == 8
    said = [two.words(step) for step in range(1, 9)]
    assert (
        said[4]
        == "All-reduce: A GPU sends 3,072 bytes. Then each has the whole sum, and adds it to the vectors from before."
    )
    assert [step for step in range(1, 9) if "GPU sends" in said[step - 1]] == [5, 8]
    assert [two.table(step)[1]["bytes sent so far"] for step in (4, 5, 7, 8)] == ["0", "3,072", "3,072", "6,144"]
    assert "nothing is sent" in layer_on_gpus(1, **SIZES).words(5)


def test_a_gpu_is_told_by_what_it_holds(two):
    assert two.data["told"][1] == (
        "GPU 1: query heads 2 to 3, KV head 1, 320 of 640 numbers of the MLP. That is 344,064 weights of this layer, "
        "and 512 bytes of its cache for each token."
    )
    assert list(two.table(2)[0].values()) == ["GPU 0", "query heads 0 to 1, KV head 0", "query heads 0 to 1", "0"]


@pytest.mark.parametrize(
    "num_gpus, changes, says",
    [
        (9, {}, "from 1 to 8"),
        (3, {}, "3 GPUs cannot share 4 query heads"),
        (4, {"intermediate_size": 642}, "cannot share 642 numbers inside the MLP"),
        (2, {"num_kv_heads": 3}, "shared out evenly over 3 KV heads"),
        (2, {"hidden_size": 0}, "hidden_size"),
    ],
)
def test_sizes_that_cannot_be_shared_out_are_refused(num_gpus, changes, says):
    with pytest.raises(ParameterError, match=says):
        layer_on_gpus(num_gpus, **SIZES | changes)


def test_the_picture_and_the_saved_form(two):
    data, metadata = two.bundle()
    assert {"image/png", "text/html", "text/plain"} <= set(data)
    assert metadata["image/png"]["alt"].startswith("One layer on 2 GPUs, step 5 of 8. All-reduce: A GPU sends 3,072")
    two.selected = 1
    assert base64.b64encode(two.snapshot(5).data).decode() != data["image/png"]
    with pytest.raises(ParameterError, match="GPUs 0 to 1"):
        two.selected = 2


# in the browser


def test_a_step_and_a_gpu_are_chosen_by_keys_and_by_mouse(two, open_view):
    page = open_view(two, width=900)
    grid = page.get_by_role("grid")
    grid.focus()
    seen = []
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight", "End", "ArrowUp", "ArrowLeft", "Home"):
        page.keyboard.press(key)
        seen.append((page.state.step(), page.state.selected()))
    assert seen == [(2, None), (2, 0), (2, 1), (2, 1), (8, 1), (7, 1), (7, 0), (1, 0)]
    assert page.inner_text(".cl-note") == two.data["told"][0]
    box = page.locator("canvas").bounding_box()
    page.mouse.click(box["x"] + box["width"] - 30, box["y"] + 60)
    assert page.state.selected() == 1
    page.evaluate("view.model.set('step', 5)")
    assert page.state.table() == [list(row.values()) for row in two.table(5)]


@pytest.mark.parametrize("scheme, width", [("light", 400), ("dark", 1400)])
def test_it_fits_and_follows_the_theme(open_view, looks_well, scheme, width):
    view = layer_on_gpus(8, hidden_size=4096, num_heads=32, num_kv_heads=8, head_dim=128, intermediate_size=14336)
    view.step = 5
    looks_well(open_view(view, width=width, color_scheme=scheme), scheme)
