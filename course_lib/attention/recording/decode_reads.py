"""Which program of paged decode read which block, out of a recording, as plain data for the view: lesson 08. No Triton."""

from collections import Counter

import numpy as np

from course_lib.errors import ParameterError


def block_reads(log, block_tables, seq_lens, *, ids=("kv_head", "part", "seq"), k="k", v="v", partial="partial"):
    """What `course_lib.viz.block_reads_view` draws, as a dict; what was read and merged is taken from the recording alone.

    log: Accesses of a paged decode. block_tables: int [num_seqs, max_blocks]; seq_lens: int [num_seqs], as it was given them.
    ids: what each program id of the kernel that reads K stands for, in order: "seq", "kv_head" (or "head", where a program has
    one query head) and, where sequences are split, "part". k, v: the tensors of keys and values, [num_blocks, block_size,
    num_kv_heads, head_dim]; v is None for a kernel that reads keys alone. partial: the tensor of partial outputs, [num_seqs,
    num_heads, parts, head_dim], which a second kernel reads where a sequence is split. Raises ParameterError
    where that is not in the recording.
    """
    decodes = [at for at, launch in enumerate(log.launches) if {k, v} - {None} <= {*launch.tensors}]
    if len(decodes) != 1:
        raise ParameterError(
            f"{len(decodes)} of the {len(log.launches)} recorded kernels have tensors {k!r} and {v!r}; record "
            "one call of paged decode, and give the names of its keys and values as `k` and `v`."
        )
    decode = log.launches[decodes[0]]
    shape, grid = decode.tensors[k].shape, dict(zip(ids, decode.grid))
    across = "head" if "head" in ids else "part"
    if (
        len(ids) != len(decode.grid)
        or len(shape) != 4
        or set(ids) - {"part"} not in ({"seq", "kv_head"}, {"seq", "head"})
    ):
        raise ParameterError(
            f"The grid is {decode.grid}, {k!r} has shape {list(shape)}, and ids is {ids!r}; ids must name each "
            "of the grid's dimensions: seq, kv_head or head, and part where there is one. The keys must be "
            "[num_blocks, block_size, num_kv_heads, head_dim]."
        )
    if across == "head" and ("part" in ids or grid["head"] % shape[2]):
        raise ParameterError(
            f"A program for each of {grid['head']} query heads over {shape[2]} KV heads, and ids is {ids!r}; the "
            "first must be a multiple of the second, and sequences in parts need a program for each KV head."
        )
    size, lens = shape[1], [int(n) for n in seq_lens]
    if not len(block_tables) == len(lens) == grid["seq"]:
        raise ParameterError(
            f"{len(block_tables)} block tables came with {len(lens)} lengths, and the grid has {grid['seq']} sequences. "
            "Give the tables and lengths that the kernel was given."
        )
    tables = [[int(block) for block in row[: -(-n // size)]] for row, n in zip(block_tables, lens)]
    parts = grid["head"] // shape[2] if across == "head" else grid.get("part", 1)
    programs = []
    for program in decode.programs:
        who = dict(zip(ids, program))
        kv_head, part = divmod(who["head"], parts) if across == "head" else (who["kv_head"], who.get("part", 0))
        mine = log.only(launch=decodes[0], program=program)
        read = mine.read
        programs.append(
            {
                "kind": "decode",
                "program": list(program),
                "seq": who["seq"],
                "kv_head": kv_head,
                "part": part,
                "reads": _lanes(mine.only(tensor=k)),
                "bytes": read[k] + read[v] * (v is not None),
            }
        )
    heads = 0
    for at, launch in enumerate(log.launches):
        if at == decodes[0] or partial not in launch.tensors:
            continue
        for program in launch.programs:
            mine = log.only(launch=at, program=program).only(tensor=partial, op="load")
            met = [np.unravel_index(access.elements, access.tensor.shape) for access in mine]
            found = sorted({(int(s), int(h), int(p)) for access in met for s, h, p in zip(*access[:3])})
            heads = launch.tensors[partial].shape[1]
            if found:
                programs.append(
                    {
                        "kind": "merge",
                        "program": list(program),
                        "seq": found[0][0],
                        "head": found[0][1],
                        "parts": [p for s, h, p in found if (s, h) == found[0][:2]],
                        "bytes": mine.bytes_read,
                    }
                )
    heads = heads or grid.get("head") or _heads(decode, shape[2])
    return {
        "num_blocks": shape[0],
        "block_size": size,
        "kv_heads": shape[2],
        "heads": heads,
        "parts": parts,
        "across": across,
        "seq_lens": lens,
        "tables": tables,
        "programs": programs,
    }


def _lanes(accesses):
    """[block, KV head, first slot, end] of what was read of the keys."""
    found = Counter()
    for access in accesses:
        blocks, slots, heads, _ = np.unravel_index(access.elements, access.tensor.shape)
        found.update(dict.fromkeys(zip(blocks.tolist(), heads.tolist(), slots.tolist()), 1))
    runs = []
    for block, head, slot in sorted(found):
        if runs and runs[-1][:2] == [block, head] and runs[-1][3] == slot:
            runs[-1][3] = slot + 1
        else:
            runs.append([block, head, slot, slot + 1])
    return runs


def _heads(launch, kv_heads):
    """Query heads, from q: [num_seqs, num_heads, head_dim]."""
    return launch.tensors["q"].shape[1] if "q" in launch.tensors else kv_heads
