"""Which program of paged decode reads which block: programs and block tables beside physical memory, program by program."""

from course_lib.errors import ParameterError
from course_lib.viz.kit.base import View
from course_lib.viz.kit.inputs import count, keys, some, whole
from course_lib.viz.memory.view import listed, these

KEYS = ("num_blocks", "block_size", "kv_heads", "heads", "parts", "seq_lens", "tables", "programs")


def block_reads_view(**reads):
    """Left the programs (sequence by KV head by part) with the block tables they follow, right the physical blocks.

    reads: what `course_lib.attention.block_reads` returns, as keywords: num_blocks, block_size, kv_heads, heads (of queries),
    parts (of each sequence; with across="head" the query heads of a KV head, which have a program each), seq_lens and tables (of
    each sequence), and programs in the order in which they ran: dicts of the kind "decode" (seq, kv_head, part, `reads` as
    [block, KV head, first slot, end], bytes) or "merge" (seq, head, parts, bytes), each with its ids as `program`. `selected` is a
    block (int) or None. Raises ParameterError for what does not fit together.
    """
    keys("reads", reads, KEYS)
    sizes = {name: whole(name, reads[name], 1) for name in ("num_blocks", "block_size", "kv_heads", "heads", "parts")}
    lens = [whole(f"seq_lens[{at}]", n) for at, n in enumerate(some("seq_lens", reads["seq_lens"]))]
    tables = [
        [whole(f"tables[{at}]", block, 0, sizes["num_blocks"] - 1) for block in table]
        for at, table in enumerate(reads["tables"])
    ]
    for at, (n, table) in enumerate(zip(lens, tables, strict=False)):
        if len(table) != -(-n // sizes["block_size"]):
            raise ParameterError(
                f"Sequence {at} has {n} tokens in {len(table)} blocks of {sizes['block_size']}; give it {-(-n // sizes['block_size'])} blocks."
            )
    if len(tables) != len(lens) or sizes["heads"] % sizes["kv_heads"]:
        raise ParameterError(
            f"There are {len(tables)} tables for {len(lens)} lengths, and {sizes['heads']} query heads for {sizes['kv_heads']} KV heads. Each "
            "sequence has one table, and the query heads are a multiple of the KV heads."
        )
    across = reads.get("across", "part")
    if across not in ("part", "head") or across == "head" and sizes["parts"] * sizes["kv_heads"] != sizes["heads"]:
        raise ParameterError(
            f'across is {across!r}, with {sizes["parts"]} programs for a sequence and KV head; it has to be "part", or "head" with one '
            f"for each of the {sizes['heads'] // sizes['kv_heads']} query heads of a KV head."
        )
    programs = [
        _checked(at, program, sizes, len(lens)) for at, program in enumerate(some("programs", reads["programs"]))
    ]
    data = {
        "title": "Which program reads which block",
        "subtitle": _subtitle(sizes, lens, across),
        "first": 1, "last": len(programs), **sizes, "across": across, "seq_lens": lens, "tables": tables, "programs": programs,
        "columns": ["step", "program", "sequence", "head", "part", "blocks", "bytes", "bytes so far", "bytes read before"],
    }  # fmt: skip
    data["again"] = _again(data)
    data["say"] = [_words(data, step) for step in range(1, len(programs) + 1)]
    return BlockReadsView(data)


class BlockReadsView(View):
    """See `block_reads_view`."""

    name = "reads"
    noun = "view of block reads"

    def check_selected(self, selected):
        last = self.data["num_blocks"] - 1
        if selected is None or (type(selected) is int and 0 <= selected <= last):
            return selected
        raise ParameterError(
            f"selected = {selected!r} is no block; there are blocks 0 to {last}. Give one of them, or None."
        )

    def _rows(self, step):
        rows, so_far = [], 0
        for at, program in enumerate(self.data["programs"][:step]):
            so_far += program["bytes"]
            decode = program["kind"] == "decode"
            head = (
                f"Q {head_of(self.data, program)}"
                if not decode or self.data["across"] == "head"
                else f"KV {program['kv_head']}"
            )
            part = (
                "merge " + ", ".join(map(str, program["parts"]))
                if not decode
                else str(program["part"])
                if self.data["across"] == "part"
                else ""
            )
            rows.append(
                [
                    at + 1,
                    ids(program),
                    f"R{program['seq']}",
                    head,
                    part,
                    listed(blocks_of(self.data, program)) if decode else "",
                    program["bytes"],
                    so_far,
                    self.data["again"][at],
                ]
            )
        return rows

    def _poster(self):
        decodes = [
            at
            for at, program in enumerate(self.data["programs"], 1)
            if program["kind"] == "decode" and program["reads"]
        ]
        return decodes[round(0.7 * (len(decodes) - 1))] if decodes else 1

    def _paint(self, step):
        from .still import paint

        return paint(self.data, step)


def ids(program):
    """The ids of a program as they are written: 3, or (0, 3)."""
    return (
        str(program["program"][0]) if len(program["program"]) == 1 else f"({', '.join(map(str, program['program']))})"
    )


def head_of(data, program):
    """The query head of a merge, or of a program that has one alone."""
    return program["head"] if program["kind"] == "merge" else program["kv_head"] * data["parts"] + program["part"]


def blocks_of(data, program):
    """The blocks that a decode program reads, in the order of its sequence's table; what is not in the table at the end."""
    read = {block for block, _, _, _ in program["reads"]}
    table = [block for block in dict.fromkeys(data["tables"][program["seq"]]) if block in read]
    return table + sorted(read.difference(table))


def _checked(at, program, sizes, num_seqs):
    where = f"programs[{at}]"
    keys(where, program, ("kind", "program", "seq", "bytes"))
    if program["kind"] not in ("decode", "merge"):
        raise ParameterError(f"{where} is of kind {program['kind']!r}; it has to be a decode or a merge.")
    whole(f"{where}['seq']", program["seq"], 0, num_seqs - 1)
    whole(f"{where}['bytes']", program["bytes"])
    some(f"{where}['program']", program["program"])
    if program["kind"] == "merge":
        keys(where, program, ("head", "parts"))
        whole(f"{where}['head']", program["head"], 0, sizes["heads"] - 1)
        for part in program["parts"]:
            whole(f"{where}['parts']", part, 0, sizes["parts"] - 1)
        return dict(program)
    keys(where, program, ("kv_head", "part", "reads"))
    whole(f"{where}['kv_head']", program["kv_head"], 0, sizes["kv_heads"] - 1)
    whole(f"{where}['part']", program["part"], 0, sizes["parts"] - 1)
    for block, head, start, end in program["reads"]:
        whole(f"{where}: a block", block, 0, sizes["num_blocks"] - 1)
        whole(f"{where}: a KV head", head, 0, sizes["kv_heads"] - 1)
        whole(f"{where}: the first of slots {start} to {end}", start)
        whole(f"{where}: the end of slots {start} to {end}", end, start + 1, sizes["block_size"])
    return dict(program)


def _subtitle(sizes, lens, across):
    parts = (
        f" with {count(sizes['parts'], 'query head')} each"
        if across == "head"
        else f", {count(sizes['parts'], 'part')} each"
        if sizes["parts"] > 1
        else ""
    )
    return f"{count(len(lens), 'sequence')}, {count(sizes['kv_heads'], 'KV head')}{parts}, blocks of {count(sizes['block_size'], 'token')}"


def _again(data):
    """Bytes of each step that an earlier program has read before."""
    seen, again = set(), []
    for program in data["programs"]:
        lanes = {
            (block, head, slot) for block, head, start, end in program.get("reads", ()) for slot in range(start, end)
        }
        again.append(program["bytes"] * len(lanes & seen) // max(1, len(lanes)))
        seen |= lanes
    return again


def _words(data, step):
    program = data["programs"][step - 1]
    who, nbytes = f"Program {ids(program)}", count(program["bytes"], "byte")
    if program["kind"] == "merge":
        parts = program["parts"]
        said = (
            f"part {parts[0]} alone"
            if len(parts) == 1
            else f"parts {', '.join(map(str, parts[:-1]))} and {parts[-1]}"
            if parts
            else "nothing"
        )
        return [
            ["strong", who],
            [
                "",
                f" merges {said} of R{program['seq']} into query head {program['head']} of the output: {nbytes} of partial results.",
            ],
        ]
    if data["across"] == "head":
        task = f"query head {head_of(data, program)} of R{program['seq']}"
    else:
        part = f"part {program['part']} of " if data["parts"] > 1 else ""
        task = f"{part}R{program['seq']} for KV head {program['kv_head']}"
    blocks = blocks_of(data, program)
    if not blocks:
        return [["strong", who], ["", f" takes {task}, but no token is left for it: it reads nothing."]]
    again = data["again"][step - 1]
    twice = f" {again:,} of them were read before, by another program." if again else ""
    return [["strong", who], ["", f" takes {task} and reads {these(blocks)}: {nbytes} of K and V.{twice}"]]
