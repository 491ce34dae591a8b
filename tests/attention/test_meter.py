"""What is counted: literal bytes on small sizes, and how they grow."""

import torch

from course_lib.attention import (
    chunked_attention,
    flash_attention_v1,
    flash_attention_v2,
    record_tiles,
    standard_attention,
)
from course_lib.attention.reference.meter import Meter


def metered(attention, n, d=4, heads=1, kv_heads=1, **options):
    meter = Meter()
    attention(torch.ones(n, heads, d), torch.ones(n, kv_heads, d), torch.ones(n, kv_heads, d), meter=meter, **options)
    return meter


def test_standard_attention_moves_the_matrix_four_times():
    meter = metered(standard_attention, 8)
    matrix, piece = 8 * 8 * 4, 8 * 4 * 4  # float32
    assert meter.read == {"q": piece, "k": piece, "v": piece, "scores": matrix, "weights": matrix}
    assert meter.written == {"scores": matrix, "weights": matrix, "out": piece}
    assert meter.scratch == 2 * matrix and meter.flops == 4 * 8 * 8 * 4


def test_flash_2_reads_q_once_and_k_and_v_once_for_each_tile_of_rows():
    meter = metered(flash_attention_v2, 8, tile=(4, 2), causal=False)
    piece = 8 * 4 * 4
    assert meter.read == {"q": piece, "k": 2 * piece, "v": 2 * piece}
    assert meter.written == {"out": piece, "lse": 8 * 4} and meter.tiles == {"all": 8}


def test_flash_1_reads_k_and_v_once_and_everything_else_for_each_tile_of_columns():
    meter = metered(flash_attention_v1, 8, tile=(4, 2), causal=False)
    piece, numbers = 8 * 4 * 4, 2 * 8 * 4  # maximum and sum of each row
    assert meter.read == {"q": 4 * piece, "k": piece, "v": piece, "out": 4 * piece, "statistics": 4 * numbers}
    assert meter.written == {"out": 5 * piece, "statistics": 5 * numbers}  # once to begin with


def test_chunks_take_little_memory_and_move_no_less():
    standard, chunked = (
        metered(standard_attention, 64, causal=False),
        metered(chunked_attention, 64, tile=(8, 8), causal=False),
    )
    assert chunked.scratch == 2 * 8 * 8 * 4 + 8 * 8 * (4 + 1) * 4  # two chunks, and a partial result for each of the 8
    assert chunked.bytes_moved > standard.bytes_moved


def test_memory_grows_with_the_square_or_with_the_length():
    growth = {
        f: metered(f, 256).scratch / metered(f, 128).scratch
        for f in (standard_attention, chunked_attention, flash_attention_v1, flash_attention_v2)
    }
    assert growth[standard_attention] == 4
    assert growth[flash_attention_v1] == growth[flash_attention_v2] == 2
    assert 1 < growth[chunked_attention] <= 2


def test_causal_tiles_are_skipped_masked_and_whole_and_a_skipped_one_loads_nothing():
    for attention in (chunked_attention, flash_attention_v1, flash_attention_v2):
        meter = metered(attention, 12, tile=(3, 3))
        assert meter.tiles == {"none": 6, "some": 4, "all": 6}
        assert meter.flops == 10 * 3 * 3 * 4 * 4
    assert metered(flash_attention_v2, 12, tile=(3, 3)).read["k"] == 10 * 3 * 4 * 4


def test_the_second_defers_the_division():
    one, two = metered(flash_attention_v1, 64, tile=(16, 16)), metered(flash_attention_v2, 64, tile=(16, 16))
    assert one.scalings == 2 * 10 * 16 * 4 and two.scalings == (10 + 4) * 16 * 4
    chunked = metered(chunked_attention, 64, tile=(16, 16))
    assert chunked.scalings == 2 * (0 + 1 + 2 + 3) * 16 * 4  # a merge multiplies both sides


def test_every_head_counts_even_where_kv_heads_are_shared():
    assert metered(flash_attention_v2, 8, heads=4, kv_heads=2).read["k"] == 4 * metered(flash_attention_v2, 8).read["k"]


def test_a_record_tells_the_order_and_the_row_that_is_watched():
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(4, 2, 2, generator=generator) for _ in range(3))
    record = record_tiles(flash_attention_v2, q, k, v, watch=3, tile=(2, 2))
    assert [(event["kind"], event["rows"], event["cols"]) for event in record["events"]] == [
        ("tile", [0, 2], [0, 2]), ("skip", [0, 2], [2, 4]), ("store", [0, 2], [0, 4]),
        ("tile", [2, 4], [0, 2]), ("tile", [2, 4], [2, 4]), ("store", [2, 4], [0, 4])]  # fmt: skip
    last = record["events"][-1]["row"]
    scores = q[3, 0] @ k[:, 0].T / 2**0.5
    torch.testing.assert_close(
        torch.tensor([last["maximum"], last["sum"]]), torch.stack([scores.max(), (scores - scores.max()).exp().sum()])
    )
    torch.testing.assert_close(torch.tensor(last["output"]), standard_attention(q, k, v)[3, 0])
    by_columns = record_tiles(flash_attention_v1, q, k, v, tile=(2, 2))["events"]
    assert [(event["rows"], event["cols"]) for event in by_columns] == [
        ([0, 2], [0, 2]),
        ([2, 4], [0, 2]),
        ([0, 2], [2, 4]),
        ([2, 4], [2, 4]),
    ]
