"""block_reads: which program of paged decode read which block, from a recording, held against the block tables."""

import pytest
import torch

from course_lib.attention import block_reads, record_accesses
from course_lib.errors import ParameterError

TABLES = [[3, 1, 7, 12, 9, -1, -1], [3, 1, 5, -1, -1, -1, -1], [3, 1, 20, 11, 14, 2, 17], [-1] * 7]
LENS = [40, 20, 55, 0]  # blocks of 8: the last of sequence 1 holds 4 tokens, that of sequence 2 holds 7


@pytest.fixture
def decoded(machine):
    """decoded(splits) -> (log, tables, lens) of four sequences, four query heads, two KV heads."""
    if machine.triton != "interpreted":
        pytest.skip("only interpreted kernels are recorded; tested where there is no GPU")
    from course_lib.attention.kernels import paged

    def decoded(splits):
        draw = torch.Generator().manual_seed(0)
        q, k, v = (torch.randn(*shape, generator=draw) for shape in ((4, 4, 16), (24, 8, 2, 16), (24, 8, 2, 16)))
        tables, lens = torch.tensor(TABLES, dtype=torch.int32), torch.tensor(LENS)
        with record_accesses() as log:
            paged.paged_decode(q, k, v, tables, lens, splits=splits)
        return log, tables, lens

    return decoded


@pytest.mark.parametrize("splits", [1, 2, 3])
def test_the_parts_of_a_sequence_read_its_table_once_for_each_head(decoded, splits):
    reads = block_reads(*decoded(splits))
    decodes = [p for p in reads["programs"] if p["kind"] == "decode"]
    assert len(decodes) == 4 * 2 * splits and reads["tables"] == [
        [3, 1, 7, 12, 9],
        [3, 1, 5],
        [3, 1, 20, 11, 14, 2, 17],
        [],
    ]
    for seq, (table, length) in enumerate(zip(reads["tables"], LENS)):
        for head in range(2):
            lanes = sorted(one for p in decodes if (p["seq"], p["kv_head"]) == (seq, head) for one in p["reads"])
            assert lanes == sorted([block, head, 0, min(8, length - 8 * at)] for at, block in enumerate(table))
    assert sum(p["bytes"] for p in decodes) == sum(LENS) * 2 * 2 * 16 * 4  # tokens, K and V, KV heads, numbers, bytes


def test_merges_name_the_parts_that_hold_something(decoded):
    reads = block_reads(*decoded(2))
    merges = {(p["seq"], p["head"]): p["parts"] for p in reads["programs"] if p["kind"] == "merge"}
    parts = {0: [0, 1], 1: [0], 2: [0, 1]}
    assert merges == {
        (seq, head): parts[seq] for seq in parts for head in range(4)
    }  # sequence 3 is empty: nothing to merge
    assert (reads["heads"], reads["kv_heads"], reads["parts"]) == (4, 2, 2)
    assert [p["kind"] for p in block_reads(*decoded(1))["programs"]] == ["decode"] * 8


@pytest.mark.parametrize("ids, group", [(("seq", "kv_head"), 1), (("seq", "head"), 2)], ids=str)
def test_another_grid_is_named_by_its_ids(machine, ids, group):
    if machine.triton != "interpreted":
        pytest.skip("only interpreted kernels are recorded; tested where there is no GPU")
    import small_kernels

    keys, tables, lens = torch.randn(9, 4, 2, 8), torch.tensor([[3, 8, 0], [3, 1, 0]]), torch.tensor([7, 8])
    with record_accesses() as log:
        small_kernels.read_blocks[(2, 2 * group)](
            keys, torch.empty(2, 2 * group), tables, lens, 3, KV_HEADS=2, GROUP=group, HEAD_DIM=8, BLOCK_SIZE=4
        )
    reads = block_reads(log, tables, lens, ids=ids, k="k_cache", v=None)
    expected = {(0, h): [[3, h, 0, 4], [8, h, 0, 3]] for h in (0, 1)} | {
        (1, h): [[1, h, 0, 4], [3, h, 0, 4]] for h in (0, 1)
    }
    assert [(p["seq"], p["kv_head"], p["part"]) for p in reads["programs"]] == [
        (s, h // group, h % group) for s in (0, 1) for h in range(2 * group)
    ]
    assert (
        all(p["reads"] == expected[p["seq"], p["kv_head"]] for p in reads["programs"])
        and reads["programs"][0]["bytes"] == 7 * 8 * 4
    )
    assert (reads["across"], reads["parts"], reads["heads"]) == (("part", 1, 2) if group == 1 else ("head", 2, 4))


def test_what_is_not_in_the_recording_is_refused(decoded):
    log, tables, lens = decoded(1)
    with pytest.raises(ParameterError, match="0 of the 1 recorded kernels have tensors 'keys' and 'v'"):
        block_reads(log, tables, lens, k="keys")
    with pytest.raises(ParameterError, match="3 block tables came with 4 lengths, and the grid has 4 sequences"):
        block_reads(log, tables[:3], lens)
    with pytest.raises(ParameterError, match="2 block tables came with 2 lengths, and the grid has 4 sequences"):
        block_reads(log, tables[:2], lens[:2])
    with pytest.raises(ParameterError, match=r"grid is \(2, 1, 4\)"):
        block_reads(log, tables, lens, ids=("seq", "kv_head"))
    with pytest.raises(ParameterError, match="need a program for each KV head"):
        block_reads(log, tables, lens, ids=("head", "part", "seq"))
    with pytest.raises(ParameterError, match="must name each"):
        block_reads(log, tables, lens, ids=("seq", "part", "row"))
