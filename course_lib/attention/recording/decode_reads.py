"""Which program of paged decode read which block, taken from a recording, as plain data for the view of lesson 08."""

import numpy as np

from course_lib.errors import ParameterError


def block_reads(log, block_tables, seq_lens, *, ids=("kv_head", "part", "seq"), k="k", v="v", partial="partial"):
    """What `course_lib.viz.block_reads_view` draws, as a dict. What was read and merged comes from the recording alone.

    log: the Accesses of one call of paged decode. block_tables: int [num_seqs, max_blocks], seq_lens: int [num_seqs]:
    what that call was given. ids: what each program id of the kernel that reads K stands for, in order: "seq",
    "kv_head" (or "head", where a program has one query head) and, where sequences are split, "part".
    k, v: the names of the tensors of keys and values, [num_blocks, block_size, num_kv_heads, head_dim]; v is None for a
    kernel that reads keys alone. partial: the name of the tensor of partial outputs, [num_seqs, num_heads, parts,
    head_dim], which a second kernel reads where a sequence is split.
    Raises ParameterError where the recording does not have these tensors, or ids does not fit its grid.
    """
    number = _decode_launch(log, k, v)
    decode = log.launches[number]
    shape, grid = decode.tensors[k].shape, dict(zip(ids, decode.grid))
    across = "head" if "head" in ids else "part"
    _check_ids(ids, decode.grid, grid, k, shape, across)
    block_size, lens = shape[1], [int(n) for n in seq_lens]
    if not len(block_tables) == len(lens) == grid["seq"]:
        raise ParameterError(
            f"{len(block_tables)} block tables came with {len(lens)} lengths, and the grid has {grid['seq']} "
            "sequences. Give the tables and lengths that the kernel was given."
        )
    parts = grid["head"] // shape[2] if across == "head" else grid.get("part", 1)
    merges, heads = _merges(log, number, partial)
    decodes = _decodes(log, number, ids, parts, across, k, v)
    return {
        "num_blocks": shape[0],
        "block_size": block_size,
        "kv_heads": shape[2],
        "heads": heads or grid.get("head") or _heads(decode, shape[2]),
        "parts": parts,
        "across": across,
        "seq_lens": lens,
        "tables": [[int(block) for block in row[: -(-n // block_size)]] for row, n in zip(block_tables, lens)],
        "programs": decodes + _with_content(merges, decodes, heads // shape[2]),
    }


def _with_content(merges, decodes, group):
    """The merges with those parts alone that hold something: a kernel may load others too, before it knows how many
    there are. group: query heads of a KV head.
    """
    filled = {(one["seq"], one["kv_head"], one["part"]) for one in decodes if one["reads"]}
    for merge in merges:
        merge["parts"] = [p for p in merge["parts"] if (merge["seq"], merge["head"] // group, p) in filled]
    return [merge for merge in merges if merge["parts"]]


def _decode_launch(log, k, v):
    """Which of the recorded launches reads K and V, from 0."""
    found = [number for number, launch in enumerate(log.launches) if {k, v} - {None} <= {*launch.tensors}]
    if len(found) != 1:
        raise ParameterError(
            f"{len(found)} of the {len(log.launches)} recorded kernels have tensors {k!r} and {v!r}; record "
            "one call of paged decode, and give the names of its keys and values as `k` and `v`."
        )
    return found[0]


def _check_ids(ids, sizes, grid, k, shape, across):
    """Raises ParameterError where ids does not fit the grid. sizes: the grid as a tuple; grid: {id: size}."""
    wanted = ({"seq", "kv_head"}, {"seq", "head"})
    if len(ids) != len(sizes) or len(shape) != 4 or set(ids) - {"part"} not in wanted:
        raise ParameterError(
            f"The grid is {sizes}, {k!r} has shape {list(shape)}, and ids is {ids!r}; ids must name each "
            "of the grid's dimensions: seq, kv_head or head, and part where there is one. The keys must be "
            "[num_blocks, block_size, num_kv_heads, head_dim]."
        )
    if across == "head" and ("part" in ids or grid["head"] % shape[2]):
        raise ParameterError(
            f"The grid has a program for each of {grid['head']} query heads over {shape[2]} KV heads, "
            f"and ids is {ids!r}; the first must be a multiple of the second, and sequences in parts need a program "
            "for each KV head."
        )


def _decodes(log, number, ids, parts, across, k, v):
    """A dict for each program of the kernel that reads K and V: its sequence, KV head, part, and what it read."""
    programs = []
    for program in log.launches[number].programs:
        of = dict(zip(ids, program))
        kv_head, part = divmod(of["head"], parts) if across == "head" else (of["kv_head"], of.get("part", 0))
        accesses = log.only(launch=number, program=program)
        read = accesses.read
        programs.append(
            {
                "kind": "decode",
                "program": list(program),
                "seq": of["seq"],
                "kv_head": kv_head,
                "part": part,
                "reads": _lanes(accesses.only(tensor=k)),
                "bytes": read[k] + read[v] * (v is not None),
            }
        )
    return programs


def _merges(log, decode, partial):
    """(a dict for each program that merges partial outputs, the number of query heads, or 0 where none merges)."""
    programs, heads = [], 0
    for number, launch in enumerate(log.launches):
        if number == decode or partial not in launch.tensors:
            continue
        heads = launch.tensors[partial].shape[1]
        for program in launch.programs:
            loads = log.only(launch=number, program=program).only(tensor=partial, op="load")
            indices = [np.unravel_index(access.elements, access.tensor.shape) for access in loads]
            read = sorted({(int(s), int(h), int(p)) for index in indices for s, h, p in zip(*index[:3])})
            if read:
                seq, head, _ = read[0]
                programs.append(
                    {
                        "kind": "merge",
                        "program": list(program),
                        "seq": seq,
                        "head": head,
                        "parts": [p for s, h, p in read if (s, h) == (seq, head)],
                        "bytes": loads.bytes_read,
                    }
                )
    return programs, heads


def _lanes(accesses):
    """[block, KV head, first slot, end] of each run of slots whose keys were read."""
    found = set()
    for access in accesses:
        blocks, slots, heads, _ = np.unravel_index(access.elements, access.tensor.shape)
        found.update(zip(blocks.tolist(), heads.tolist(), slots.tolist()))
    runs = []
    for block, head, slot in sorted(found):
        if runs and runs[-1][:2] == [block, head] and runs[-1][3] == slot:
            runs[-1][3] = slot + 1
        else:
            runs.append([block, head, slot, slot + 1])
    return runs


def _heads(launch, kv_heads):
    """The number of query heads, from q: [num_seqs, num_heads, head_dim]; without one, that of KV heads."""
    return launch.tensors["q"].shape[1] if "q" in launch.tensors else kv_heads
