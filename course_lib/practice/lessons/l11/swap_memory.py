"""For 11.swap: the step that a SwapSpace is given, and a small memory of letters for a SwapSpace."""

from dataclasses import dataclass, field

import torch

from course_lib.decoding.sampling import SamplingParams
from course_lib.engine.request import Request
from course_lib.practice.judge.outcome_text import a_kind
from course_lib.practice.judge.programs import NAMES

LETTERS = "abcdefghijklmnopqrstuvwxyz"
"""Tokens are letters: the n-th token that a program writes is the n-th letter."""


NOISE = 27
"""What other requests write into freed blocks: no letter."""


PLACES = [(name, layer) for layer in range(2) for name in "kv"]
"""Where a token is stored: its keys and its values, in each of two layers."""


@dataclass
class SwapStep:
    """What a SwapSpace is given of a step: as in the engine's Step, with the requests in place of their ids."""

    swapped_out: list = field(default_factory=list)
    """(request, block_ids)."""
    swapped_in: list = field(default_factory=list)
    """(request, start, slots)."""

    @classmethod
    def of(cls, step, request_of):
        """The SwapStep of an engine's Step. request_of(request_id) returns the request."""
        out = [(request_of(request_id), block_ids) for request_id, block_ids, _ in step.swapped_out]
        return cls(out, [(request_of(request_id), start, slots) for request_id, start, slots in step.swapped_in])


class SwapMemory:
    """A memory of letters with a SwapSpace, to run a failing program by hand. `print(memory)` shows its contents.

    Each letter is stored in the keys and the values of two layers, as another number in each.
    """

    def __init__(self, space, num_blocks, block_size):
        self.k, self.v = (torch.zeros(2, num_blocks, block_size, 1, 2) for _ in "kv")
        self.space, self.size, self.num_blocks = space(self.k, self.v), block_size, num_blocks
        self.free = list(range(num_blocks))[::-1]  # the block that was freed last is allocated first
        self.requests, self.sequences, self.tables = {}, {}, {}  # by name; those without a table are swapped out
        self.written, self.calls, self.read_in_time, self.returns, self.keeps_step = 0, 0, {}, True, True

    def write(self, n):
        """A step in which a new request with n letters runs."""
        return self._step(new=n)

    def append(self, request, n):
        """A step in which a request gets n more letters."""
        return self._step(append=(request, n))

    def swap_out(self, request):
        """A step in which a request is swapped out; others write into its blocks."""
        self._step(out=[request])

    def replace(self, request, n):
        """A step in which a request is swapped out, and a new one with n letters runs in its place."""
        return self._step(out=[request], new=n)

    def swap_in(self, request, found=0):
        """A step in which a request is swapped in. found: how many of its first blocks are in memory already."""
        self._step(back=[request], found=found)

    def exchange(self, out, back):
        """A step in which `out` is swapped out, and `back` is swapped in in its place."""
        self._step(out=[out], back=[back])

    def swap_out_both(self, one, other):
        """A step in which two requests are swapped out."""
        self._step(out=[one, other])

    def swap_in_both(self, one, other):
        """A step in which two requests are swapped in."""
        self._step(back=[one, other])

    def _step(self, out=(), back=(), found=0, new=0, append=None):
        step, left = SwapStep(), []
        for request in out:
            blocks = self.tables.pop(request.request_id)
            step.swapped_out.append((request, list(blocks)))
            self.free += blocks[::-1]
            left += blocks
        for request in back:
            slots = self._grow(request, request.num_computed_tokens)
            self._put(slots[: found * self.size], self.sequences[request.request_id])
            step.swapped_in.append((request, found * self.size, slots[found * self.size :]))
        before = [list(step.swapped_out), list(step.swapped_in)]
        writer, n = append or (None, new)
        if new:
            writer = Request(NAMES[len(self.requests)], [0], SamplingParams(max_tokens=99))
            self.requests[writer.request_id], self.sequences[writer.request_id] = writer, ""
        letters = "".join(LETTERS[(self.written + i) % 26] for i in range(n))
        fresh = self._grow(writer, n) if n else []
        known = {name: self.sequences[name] for name in self.tables}
        self.calls, self.read_in_time, result = 0, {}, object()

        def compute():
            """The model reads computed tokens, and writes new ones."""
            self.calls += 1
            self.read_in_time.update({name: (self.read(name, len(text)), repr(text)) for name, text in known.items()})
            self._put([b * self.size + at for b in left if b in self.free for at in range(self.size)], NOISE)
            self._put(fresh, letters)
            return result

        self.returns = self.space.run(step, compute) is result
        self.keeps_step = [step.swapped_out, step.swapped_in] == before
        if n:
            self.written += n
            self.sequences[writer.request_id] += letters
            writer.token_ids += [0] * n
            writer.num_computed_tokens += n
        return writer

    def _grow(self, request, n):
        """Slots for n more tokens."""
        table, start = self.tables.setdefault(request.request_id, []), len(self.sequences[request.request_id])
        start = 0 if not table else start
        while len(table) * self.size < start + n:
            table.append(self.free.pop())
        return [table[p // self.size] * self.size + p % self.size for p in range(start, start + n)]

    def _put(self, slots, letters):
        numbers = (
            [NOISE] * len(slots)
            if letters == NOISE
            else [LETTERS.index(letter) + 1 for letter in letters[: len(slots)]]
        )
        for name, layer in PLACES:
            kept, sign = (self.k, 1) if name == "k" else (self.v, -1)
            for slot, number in zip(slots, numbers):
                kept[layer, slot // self.size, slot % self.size] = sign * (100 * layer + number)

    def read(self, name, n):
        """The first n letters of a sequence, as its blocks hold them. Where PLACES differ, the letters in each."""
        texts = {}
        for place in PLACES:
            texts.setdefault(self._read_in(*place, name, n), []).append(place)
        if len(texts) == 1:
            return repr(next(iter(texts)))
        return ", ".join(
            f"{text!r} in the {'keys' if kind == 'k' else 'values'} of layer {layer}"
            for text, places in texts.items()
            for kind, layer in places
        )

    def _read_in(self, kind, layer, name, n):
        kept, sign = (self.k, 1) if kind == "k" else (self.v, -1)
        numbers = kept[layer][self.tables[name]].flatten(0, 1)[:n, 0, 0] if n else torch.zeros(0)
        return "".join(
            LETTERS[i - 1] if 1 <= i <= 26 else "·" if number == 0 else "#"
            for number in numbers.tolist()
            for i in [round(sign * number - 100 * layer)]
        )

    def lines(self, *, right=False):
        """What is where. right: what should be where."""
        for name, text in self.sequences.items():
            if name not in self.tables:
                yield f"{name}: swapped out"
                continue
            blocks = self.tables[name]
            yield (
                f"{name}: {repr(text) if right else self.read(name, len(text))} in block{'s' * (len(blocks) != 1)} "
                f"{', '.join(map(str, blocks))}"
            )

    def complaints(self):
        """Everything else that is wrong."""
        if self.calls != 1:
            yield f"compute() was called {self.calls} times"
        for name, (read, right) in self.read_in_time.items():
            if read != right:
                yield f"but in compute(), the model read {read} of {name}"
        if self.calls == 1 and not self.returns:
            yield "run() did not return what compute() returned"
        if not self.keeps_step:
            yield "run() changed the lists of the step"
        away, saved = sorted(set(self.sequences) - set(self.tables)), getattr(self.space, "saved", None)
        if not isinstance(saved, dict):
            yield f"`saved` is {a_kind(saved)}" if hasattr(self.space, "saved") else "there is no `saved`"
        elif sorted(map(str, saved)) != away:
            held, right = ", ".join(sorted(map(str, saved))) or "nothing", ", ".join(away) or "no request"
            yield f"`saved` holds {held}, and {right} is swapped out"

    def __str__(self):
        return "\n".join([*self.lines(), *self.complaints()])

    __repr__ = __str__
