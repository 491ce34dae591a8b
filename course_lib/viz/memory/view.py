"""The memory view: block tables beside physical memory, replayed from a trace."""

from course_lib.errors import ParameterError
from course_lib.trace.memory import Memory, cuts_of, rows_of
from course_lib.trace.records import MEMORY_FIELDS, packed, unpacked
from course_lib.viz.kit import still as static
from course_lib.viz.kit.base import View
from course_lib.viz.kit.inputs import count
from course_lib.viz.kit.still import quoted

LISTED = 12  # block ids in a sentence; more are counted


def memory_view(trace, *, by=None):
    """Left a row for each request with its block table, right the physical blocks; below them use and waste over the steps.

    trace: a Trace of course_lib.trace.records, from a ledger of the course or a learner's allocator (`trace.watch(MyAllocator(24, 4))`),
        or its records as a list.
    by: what a step of the view is: "step" (as the trace counts them) or "event" (one thing that happened). None: "step" where
        the trace has several.
    `selected` is a physical block (int) or None. Raises ParameterError for a trace that does not fit together.
    """
    rows = rows_of(trace)
    if by is None:
        by = "step" if rows[-1][0] != rows[0][0] else "event"
    if by not in ("step", "event"):
        raise ParameterError(f'by is {by!r}. A step of this view is a "step" of the trace or one "event".')
    texts = texts_of(rows)
    rows = [row for row in rows if row[1] in MEMORY_FIELDS and row[1] != "text"]
    cuts = cuts_of(rows, by)
    told, sums = tell(rows, cuts, texts)
    return MemoryView(
        {
            "title": "Block tables and memory",
            "first": 1,
            "last": len(cuts),
            **drawn(rows, cuts, texts, sums),
            "columns": ["who", "tokens", "blocks", "block table"],
            "say": [_words(words, faults) for words, faults in told],
        }
    )


def texts_of(rows):
    """{request: text of each of its tokens}."""
    return {row[2]: row[3] for row in rows if row[1] == "text"}


def tell(rows, cuts, texts):
    """What happens in each step, ([(kind, request, words)], [what cannot be]), and [in use, cached, wasted] after it."""
    memory = Memory(*(_size(rows[0][at], name) for at, name in ((2, "num_blocks"), (3, "block_size"))))
    told, sums, begin = [], [], 1  # row 0 is `start`
    for cut in cuts:
        memory.begin()
        told.append(([_event(memory, rows[index], texts, index) for index in range(begin, cut)], memory.wrong()))
        sums.append([memory.in_use, memory.cached, memory.wasted()])
        begin = max(begin, cut)
    return told, sums


def drawn(rows, cuts, texts, sums):
    """What memory.js draws from. cuts: the index behind the last record of each step."""
    num_blocks, block_size = rows[0][2:]
    return {
        "subtitle": f"{count(num_blocks, 'block')} of {count(block_size, 'token')}",
        "num_blocks": num_blocks,
        "block_size": block_size,
        **_shortened(rows, cuts),
        "texts": [[request, text] for request, text in texts.items()],
        "sums": sums,
    }


class MemoryView(View):
    """See `memory_view`."""

    name = "memory"
    noun = "memory view"

    def check_selected(self, selected):
        last = self.data["num_blocks"] - 1
        if selected is None or (type(selected) is int and 0 <= selected <= last):
            return selected
        raise ParameterError(
            f"selected = {selected!r} is no block; there are blocks 0 to {last}. Give one of them, or None."
        )

    def memory(self, step=None):
        """The Memory after this step."""
        return memory_at(self.data, self._at(step))

    def _rows(self, step):
        memory = self.memory(step)
        rows = [
            [name(request), tokens, len(blocks), listed(blocks)] for request, (blocks, tokens) in memory.tables.items()
        ]
        cached = [block for block in sorted(memory.hashed) if memory.ref[block] <= 0]
        shared = [block for block, number in enumerate(memory.ref) if number > 1]
        free = [block for block, number in enumerate(memory.ref) if number <= 0 and block not in memory.hashed]
        rows += [
            [who, "", len(blocks), listed(blocks)]
            for who, blocks in (("shared", shared), ("cached", cached), ("free", free))
        ]
        return rows

    def _poster(self):
        sums = self.data["sums"]
        return 1 + max(range(len(sums)), key=lambda at: sums[at][0])  # where memory is fullest

    def _paint(self, step):
        from .still import paint

        return paint(self, step)


def memory_at(data, step):
    """The Memory after a step, from what the page is given."""
    memory = Memory(data["num_blocks"], data["block_size"])
    for index, short in enumerate(data["rows"][1 : data["cuts"][step - 1]], 1):
        for row in unpacked([0, *short]):
            memory.apply([*row, 1, []] if row[1] == "append" and len(row) == 3 else row, index)
    return memory


def name(request):
    """A request as it is called on the screen: R3 for a number and for "3", a name as it is."""
    text = str(request)
    return f"R{text}" if text[:1].isdigit() else text


def listed(blocks):
    return ", ".join(map(str, blocks[:LISTED])) + (f" and {len(blocks) - LISTED} more" if len(blocks) > LISTED else "")


def these(blocks):
    """[3] -> "block 3"; [3, 4] -> "blocks 3, 4"."""
    return f"block{'s' * (len(blocks) != 1)} {listed(blocks)}"


def _size(value, what):
    if type(value) is not int or value < 1:
        raise ParameterError(f"the record `start` says {what} = {value!r}; it has to be a whole number of 1 or more.")
    return value


def _shortened(rows, cuts):
    """rows and cuts of what the page is given: records without their steps, which `cuts` tells, packed step by step."""
    short, ends, begin = [], [], 0
    for cut in cuts:
        together = packed([row[:3] if row[1] == "append" and row[3:] == [1, []] else row for row in rows[begin:cut]])
        short += [row[1:] for row in together]
        ends.append(len(short))
        begin = cut
    return {"rows": short, "cuts": ends}


def _event(memory, row, texts, index):
    """Applies a record and says what it did: (kind, request, [[kind, text], ...]), or None where another record says it."""
    event, fields = row[1], row[2:]
    who = name(fields[0]) if event in ("append", "hit", "fork", "copy", "shrink", "end") else None
    before = memory.tables.get(fields[0], [[], 0]) if who else None
    blocks_before, tokens_before = (before[0][:], before[1]) if who else ([], 0)
    memory.apply(row, index)
    if event == "append":
        request, number, blocks = fields
        new = (
            f", with {these(blocks)} new in its table"
            if blocks and blocks_before
            else f" in {these(blocks)}"
            if blocks
            else ""
        )
        table = memory.tables[request][0]
        if number == 1 and table:
            text = texts.get(request, [])
            word = f" {quoted(text[tokens_before])}" if tokens_before < len(text) else ""
            place = (
                f"block {table[tokens_before // memory.block_size]}, slot {tokens_before % memory.block_size}"
                if tokens_before // memory.block_size < len(table)
                else "no block"
            )
            return (
                "append",
                request,
                [["strong", f"{who} writes one token"], ["", f"{word} into {place}{' (new)' if blocks else ''}."]],
            )
        return ("append many", request, [["strong", f"{who} writes {count(number, 'token')}"], ["", f"{new}."]])
    if event == "hit":
        blocks = fields[1]
        verb = "is" if len(blocks) == 1 else "are"
        return (event, fields[0], [["strong", f"{who} finds its beginning computed:"], ["", f" {these(blocks)} {verb} in the cache, "
                                   f"{count(len(blocks) * memory.block_size, 'token')} need no computing."]])  # fmt: skip
    if event == "fork":
        return (
            event,
            fields[0],
            [
                ["strong", f"{who} is forked from {name(fields[1])}"],
                ["", f" and shares its {these(memory.tables[fields[0]][0])}."],
            ],
        )
    if event == "copy":
        source, fresh = fields[1:]
        others = [name(one) for one, (blocks, _) in memory.tables.items() if source in blocks]
        whose = (
            f"Block {source} belongs to {' and '.join(others[:3])} too"
            if others
            else f"Block {source} is kept for others to find"
        )
        return (event, fields[0], [["strong", f"{who} writes into a shared block."], ["", f" {whose}, so {who} gets a copy: "], ["code", f"block {fresh}"],
                                   ["", f". Reference count of {source}: {memory.ref[source] + 1} → {memory.ref[source]}."]])  # fmt: skip
    if event == "shrink":
        dropped = blocks_before[len(memory.tables[fields[0]][0]) :]
        return (
            event,
            fields[0],
            [
                ["strong", f"{who} shrinks to {count(fields[1], 'token')}"],
                ["", f" and gives up {these(dropped)}." if dropped else "."],
            ],
        )
    if event == "end":
        return (event, fields[0], [["strong", f"{who} ends"], ["", f". {_fate(memory, blocks_before)}"]])
    if event == "cache":
        return (event, fields[0], [])
    if event == "evict":
        return (
            event,
            None,
            [
                ["strong", f"{these(fields[0]).capitalize()} {'is' if len(fields[0]) == 1 else 'are'} evicted"],
                ["", " from the cache, to make room."],
            ],
        )
    if event == "out_of_memory":
        return (
            event,
            None,
            [
                ["strong", "Out of memory."],
                [
                    "",
                    f" {count(fields[0], 'block')} {'is' if fields[0] == 1 else 'are'} wanted, {fields[1]:,} can be had. Nothing is taken.",
                ],
            ],
        )
    blocks = fields[0]
    if event == "allocate":
        return (
            "block",
            None,
            [["strong", f"{these(blocks).capitalize()}"], ["", f" {'is' if len(blocks) == 1 else 'are'} allocated."]],
        )
    if event == "share":
        return (
            "block",
            None,
            [
                ["strong", f"{these(blocks).capitalize()}"],
                ["", f" {'gets' if len(blocks) == 1 else 'get'} one reference more."],
            ],
        )
    return ("block", None, [["", _fate(memory, blocks)]])


def _fate(memory, blocks):
    """What becomes of blocks that somebody gave up."""
    blocks = list(dict.fromkeys(blocks))
    kept = [block for block in blocks if memory.ref[block] > 0]
    cached = [block for block in blocks if memory.ref[block] <= 0 and block in memory.hashed]
    free = [block for block in blocks if memory.ref[block] <= 0 and block not in memory.hashed]
    parts = [f"{these(found).capitalize()} {(one if len(found) == 1 else many)}" for found, one, many in
             ((free, "is free", "are free"), (cached, "stays cached", "stay cached"), (kept, "has other holders", "have other holders")) if found]  # fmt: skip
    return (
        "; ".join([parts[0], *(part[0].lower() + part[1:] for part in parts[1:])]) + "."
        if parts
        else "It held nothing."
    )


def _words(told, faults):
    """A step in words: tables before blocks, what several do alike in one sentence, and no more than four sentences."""
    found = {kind: [who for other, who, _ in told if other == kind] for kind, _, _ in told}
    tables = set(found) - {"block"}
    rest = [
        words
        for kind, _, words in told
        if words and not (tables and kind == "block") and not (kind == "append" and len(found["append"]) > 1)
    ]
    if len(found.get("append", ())) > 1:
        who = found["append"]
        rest.insert(
            0,
            [
                [
                    "",
                    ", ".join(map(name, who[:6]))
                    + (f" and {len(who) - 6} more" if len(who) > 6 else "")
                    + " write one token each.",
                ]
            ],
        )
    if "cache" in found:
        blocks = found["cache"]
        one, many = (
            " is full and computed: it is hashed, so that others can find it.",
            " are full and computed: they are hashed, so that others can find them.",
        )
        rest.append([["", these(blocks).capitalize() + (one if len(blocks) == 1 else many)]])
    if not rest:
        rest = [[["", "Memory is empty."]]]
    if len(rest) > 4:
        rest[3:] = [[["", f"And {count(len(rest) - 3, 'event')} more."]]]
    rest += [[["strong", fault]] for fault in faults]
    return [piece for number, one in enumerate(rest) for piece in ([["", " "]] if number else []) + one]
