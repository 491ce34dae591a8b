"""The data of the view of block reads: checked programs, what each reads again, and their words.

A program is a dict of the kind "decode" (seq, kv_head, part, reads as [block, KV head, first slot, end], bytes) or
"merge" (seq, head, parts, bytes), each with its ids as `program`. The browser reads them in the same way: programs.js.
"""

from course_lib.errors import ParameterError
from course_lib.viz.kit.format import count, enumerated, listed, program_ids, these
from course_lib.viz.kit.inputs import keys, some, whole

KEYS = ("num_blocks", "block_size", "kv_heads", "heads", "parts", "seq_lens", "tables", "programs")
SIZES = KEYS[:5]


def reads_data(reads):
    """What the browser draws from. Raises ParameterError for what does not fit together."""
    keys("reads", reads, KEYS)
    sizes = {name: whole(name, reads[name], 1) for name in SIZES}
    lens = [whole(f"seq_lens[{at}]", n) for at, n in enumerate(some("seq_lens", reads["seq_lens"]))]
    tables = [_table(at, table, sizes["num_blocks"]) for at, table in enumerate(reads["tables"])]
    _check_tables(sizes, lens, tables)
    across = reads.get("across", "part")
    if across not in ("part", "head") or (across == "head" and sizes["parts"] * sizes["kv_heads"] != sizes["heads"]):
        raise ParameterError(
            f'across is {across!r}, with {sizes["parts"]} programs for a sequence and KV head; it has to be "part", or '
            f'"head" with one for each of the {sizes["heads"] // sizes["kv_heads"]} query heads of a KV head.'
        )
    programs = some("programs", reads["programs"])
    programs = [_checked(at, program, sizes, len(lens)) for at, program in enumerate(programs)]
    columns = ["step", "program", "sequence", "head", "part", "blocks", "bytes", "bytes so far", "bytes read before"]
    data = {
        "title": "Which program reads which block",
        "subtitle": _subtitle(sizes, lens, across),
        "first": 1,
        "last": len(programs),
        **sizes,
        "across": across,
        "seq_lens": lens,
        "tables": tables,
        "programs": programs,
        "columns": columns,
    }
    data["again"] = _again(programs)
    data["say"] = [_words(data, step) for step in range(1, len(programs) + 1)]
    return data


def table_rows(data, step):
    """The rows of the table up to a step."""
    rows, so_far = [], 0
    for at, program in enumerate(data["programs"][:step]):
        so_far += program["bytes"]
        merges, by_head = program["kind"] == "merge", data["across"] == "head"
        head = f"Q {_query_head(data, program)}" if merges or by_head else f"KV {program['kv_head']}"
        if merges:
            part = "merge " + ", ".join(map(str, program["parts"]))
        else:
            part = "" if by_head else str(program["part"])
        blocks = "" if merges else listed(_blocks(data, program))
        where = [at + 1, program_ids(program["program"]), f"R{program['seq']}", head, part, blocks]
        rows.append([*where, program["bytes"], so_far, data["again"][at]])
    return rows


def _query_head(data, program):
    """The query head of a merge, or of a program that has one alone."""
    return program["head"] if program["kind"] == "merge" else program["kv_head"] * data["parts"] + program["part"]


def _blocks(data, program):
    """The blocks that a program reads, in the order of its sequence's table; what is not in the table at the end."""
    read = {block for block, _, _, _ in program["reads"]}
    table = [block for block in dict.fromkeys(data["tables"][program["seq"]]) if block in read]
    return table + sorted(read.difference(table))


def _table(at, table, num_blocks):
    return [whole(f"tables[{at}]", block, 0, num_blocks - 1) for block in table]


def _check_tables(sizes, lens, tables):
    for at, (n, table) in enumerate(zip(lens, tables)):
        wanted = -(-n // sizes["block_size"])
        if len(table) != wanted:
            raise ParameterError(
                f"Sequence {at} has {n} tokens in {len(table)} blocks of {sizes['block_size']}; "
                f"give it {wanted} blocks."
            )
    if len(tables) != len(lens) or sizes["heads"] % sizes["kv_heads"]:
        raise ParameterError(
            f"There are {len(tables)} tables for {len(lens)} lengths, and {sizes['heads']} query heads for "
            f"{sizes['kv_heads']} KV heads. Each sequence has one table, and the query heads are a multiple of the "
            f"KV heads."
        )


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
    parts = ""
    if across == "head":
        parts = f" with {count(sizes['parts'], 'query head')} each"
    elif sizes["parts"] > 1:
        parts = f", {count(sizes['parts'], 'part')} each"
    heads = f"{count(len(lens), 'sequence')}, {count(sizes['kv_heads'], 'KV head')}{parts}"
    return f"{heads}, blocks of {count(sizes['block_size'], 'token')}"


def _again(programs):
    """Bytes of each step that an earlier program has read before."""
    seen, again = set(), []
    for program in programs:
        reads = program.get("reads", ())
        lanes = {(block, head, slot) for block, head, start, end in reads for slot in range(start, end)}
        again.append(program["bytes"] * len(lanes & seen) // max(1, len(lanes)))
        seen |= lanes
    return again


def _words(data, step):
    program = data["programs"][step - 1]
    who, nbytes = ["strong", f"Program {program_ids(program['program'])}"], count(program["bytes"], "byte")
    seq = f"R{program['seq']}"
    if program["kind"] == "merge":
        said = f" merges {_parts(program['parts'])} of {seq} into query head {program['head']} of the output"
        return [who, ["", f"{said}: {nbytes} of partial results."]]
    if data["across"] == "head":
        task = f"query head {_query_head(data, program)} of {seq}"
    else:
        part = f"part {program['part']} of " if data["parts"] > 1 else ""
        task = f"{part}{seq} for KV head {program['kv_head']}"
    blocks = _blocks(data, program)
    if not blocks:
        return [who, ["", f" computes {task}, but no token is left for it: it reads nothing."]]
    again = data["again"][step - 1]
    twice = f" {again:,} of them were read before, by another program." if again else ""
    return [who, ["", f" computes {task} and reads {these(blocks)}: {nbytes} of K and V.{twice}"]]


def _parts(parts):
    if len(parts) < 2:
        return f"part {parts[0]} alone" if parts else "nothing"
    return f"parts {enumerated(list(map(str, parts)), most=len(parts))}"
