"""The data of the memory view: after each step what changed, so that the browser needs to know no record.

`changes`, a dict a step, holds only what is not empty. Requests are numbers, places in `requests`:

    counts    [[reference count, [block, ...]], ...]
    evicted   [block, ...]          not hashed any more
    hashed    [block, ...]          hashed from now on
    fresh     [block, ...]          allocated
    copies    [[source, destination], ...]
    wrong     [block, ...]          what was recorded of them cannot be right
    ended     [request, ...]        their tables are gone
    grown     [request, ...]        one token more, in a block that is there
    tables    [[request, kept, [block, ...], number of tokens, first, end], ...]
                                    the first `kept` blocks of the table stay, these follow; positions first to end were
                                    written in this step
"""

from course_lib.trace.memory import replayed
from course_lib.viz.kit.format import count


def memory_data(rows, cuts, texts, tell):
    """(data, said): what the browser draws from, and what `tell(memory)` says after each step."""
    known, requests, said, sums, changes = _Known(), {}, [], [], []
    for memory in replayed(rows, cuts):
        said.append(tell(memory))
        sums.append([memory.in_use, memory.cached, memory.wasted()])
        for event, request, _ in memory.happened:
            if event in ("append", "hit", "fork"):
                requests.setdefault(request, len(requests))
        changes.append(known.changes(memory, requests))
    num_blocks, block_size = rows[0][2:]
    data = {
        "subtitle": f"{count(num_blocks, 'block')} of {count(block_size, 'token')}",
        "num_blocks": num_blocks,
        "block_size": block_size,
        "requests": list(requests),
        "texts": [[requests[request], text] for request, text in texts.items() if request in requests],
        "changes": changes,
        "sums": sums,
    }
    return data, said


class _Known:
    """What the browser knows of the memory after the step before."""

    def __init__(self):
        self.ref, self.hashed, self.tables, self.wrong = {}, set(), {}, set()

    def changes(self, memory, requests):
        """The changes of a step, and they are known from now on."""
        self.wrong = {block for block in self.wrong | memory.touched if memory.is_wrong(block)}
        found = {
            "counts": self._counts(memory),
            "evicted": sorted(memory.evicted),
            "hashed": self._hashed(memory),
            "fresh": sorted(memory.fresh),
            "copies": [list(pair) for pair in memory.copies],
            "wrong": sorted(self.wrong),
            "ended": [requests[one] for one in self.tables if one not in memory.tables or one in memory.begun],
            **self._tables(memory, requests),
        }
        return {name: values for name, values in found.items() if values}

    def _counts(self, memory):
        by_count = {}
        for block in sorted(memory.touched):
            if memory.ref[block] != self.ref.get(block, 0):
                by_count.setdefault(memory.ref[block], []).append(block)
                self.ref[block] = memory.ref[block]
        return [[number, blocks] for number, blocks in by_count.items()]

    def _hashed(self, memory):
        now = {block for block in memory.rehashed if block in memory.hashed}
        fresh = sorted(now - self.hashed | now & memory.evicted)
        self.hashed = self.hashed - memory.rehashed | now
        return fresh

    def _tables(self, memory, requests):
        grown, tables = [], []
        for request, (blocks, num_tokens) in memory.tables.items():
            if request not in memory.changed:
                continue
            before, tokens_before = self.tables.get(request, ([], 0)) if request not in memory.begun else ([], 0)
            first, end = memory.written.get(request, (0, 0))
            if blocks == before and num_tokens == tokens_before + 1 and (first, end) == (tokens_before, num_tokens):
                grown.append(requests[request])
            elif blocks != before or num_tokens != tokens_before or end > first or request in memory.begun:
                kept = next(
                    (at for at, pair in enumerate(zip(blocks, before)) if pair[0] != pair[1]),
                    min(len(blocks), len(before)),
                )
                tables.append([requests[request], kept, blocks[kept:], num_tokens, first, end])
        for request in memory.changed | {one for one in self.tables if one not in memory.tables}:
            self.tables.pop(request, None)
            if request in memory.tables:
                blocks, num_tokens = memory.tables[request]
                self.tables[request] = blocks[:], num_tokens
        return {"grown": grown, "tables": tables}
