"""The game of 11.swap: texts in a small memory leave it and come back. And the engine that a learner's SwapSpace serves."""

from dataclasses import dataclass, field, replace

import torch

from course_lib.decoding.sampling import SamplingParams
from course_lib.engine import Engine, Scheduler
from course_lib.engine.request import Request
from course_lib.engine.runner import Runner
from course_lib.practice.judge.outcome_text import a_kind
from course_lib.practice.judge.programs import NAMES, Game, Seen, Senseless, random_trials
from course_lib.practice.judge.replay import replay

LETTERS = "abcdefghijklmnopqrstuvwxyz"
"""Tokens are letters: the n-th token that a program writes, from the first on."""
NOISE = 27
"""What others write into blocks that were left: no letter."""
PLACES = [(name, layer) for layer in range(2) for name in "kv"]
"""Where a token is kept: its keys and its values, in each of two layers."""


@dataclass
class SwapStep:
    """What a SwapSpace is told of a step: the same as in an engine's Step, with the requests themselves."""

    swapped_out: list = field(default_factory=list)
    """(request, block_ids)."""
    swapped_in: list = field(default_factory=list)
    """(request, start, slots)."""

    @classmethod
    def of(cls, step, request_of):
        """request_of: finds a request by its id."""
        out = [(request_of(request_id), block_ids) for request_id, block_ids, _ in step.swapped_out]
        return cls(out, [(request_of(request_id), start, slots) for request_id, start, slots in step.swapped_in])


class SwapMemory:
    """A memory for letters behind a SwapSpace, to play a failing program by hand. `print(memory)` says what is in it.

    Each letter stands in the keys and in the values of two layers, as a number of its own in each.
    """

    def __init__(self, space, num_blocks, block_size):
        self.k, self.v = (torch.zeros(2, num_blocks, block_size, 1, 2) for _ in "kv")
        self.space, self.size, self.num_blocks = space(self.k, self.v), block_size, num_blocks
        self.free = list(range(num_blocks))[::-1]  # what was freed last goes first
        self.requests, self.texts, self.tables = {}, {}, {}  # by name; those without a table are in CPU memory
        self.written, self.calls, self.read_in_time, self.returns = 0, 0, {}, True

    def write(self, n):
        """A step in which a new text comes with n letters."""
        return self._step(new=n)

    def more(self, request, n):
        """A step in which a text gets n letters more."""
        return self._step(more=(request, n))

    def out(self, request):
        """A step in which a text makes room; others write into its blocks."""
        self._step(out=request)

    def instead(self, request, n):
        """A step in which a text makes room, and a new one with n letters comes in its place."""
        return self._step(out=request, new=n)

    def back(self, request, found=0):
        """A step in which a text comes back. found: so many of its first blocks are in memory already."""
        self._step(back=request, found=found)

    def turn(self, out, back):
        """A step in which one makes room and the other comes back in its place."""
        self._step(out=out, back=back)

    def _step(self, out=None, back=None, found=0, new=0, more=None):
        step, left, slots = SwapStep(), [], []
        if out is not None:
            left = self.tables.pop(out.request_id)
            step.swapped_out.append((out, list(left)))
            self.free += left[::-1]
        if back is not None:
            slots = self._grow(back, back.num_computed_tokens)
            self._put(slots[: found * self.size], self.texts[back.request_id])
            step.swapped_in.append((back, found * self.size, slots[found * self.size :]))
        writer, n = more or (None, new)
        if new:
            writer = Request(NAMES[len(self.requests)], [0], SamplingParams(max_tokens=99))
            self.requests[writer.request_id], self.texts[writer.request_id] = writer, ""
        letters = "".join(LETTERS[(self.written + i) % 26] for i in range(n))
        fresh = self._grow(writer, n) if n else []
        known = {name: self.texts[name] for name in self.tables}
        self.calls, self.read_in_time, result = 0, {}, object()

        def compute():
            """The model reads what is computed, and writes what is new."""
            self.calls += 1
            self.read_in_time.update({name: (self.read(name, len(text)), repr(text)) for name, text in known.items()})
            self._put([b * self.size + at for b in left if b in self.free for at in range(self.size)], NOISE)
            self._put(fresh, letters)
            return result

        self.returns = self.space.run(step, compute) is result
        if n:
            self.written += n
            self.texts[writer.request_id] += letters
            writer.token_ids += [0] * n
            writer.num_computed_tokens += n
        return writer

    def _grow(self, request, n):
        """Slots for n tokens more."""
        table, start = self.tables.setdefault(request.request_id, []), len(self.texts[request.request_id])
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
        """The first n letters of a text, as they stand in its blocks; where the places differ, what each of them has."""
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
        """What is where. right: what should be."""
        for name, text in self.texts.items():
            if name not in self.tables:
                yield f"{name}: in CPU memory"
                continue
            blocks = self.tables[name]
            yield (
                f"{name}: {repr(text) if right else self.read(name, len(text))} in block{'s' * (len(blocks) != 1)} "
                f"{', '.join(map(str, blocks))}"
            )

    def complaints(self):
        """What else is not as it should be."""
        if self.calls != 1:
            yield f"compute() was called {self.calls} times"
        for name, (read, right) in self.read_in_time.items():
            if read != right:
                yield f"but when the model computed, it read {read} of {name}"
        if self.calls == 1 and not self.returns:
            yield "run() did not return what compute() returned"
        away, saved = sorted(set(self.texts) - set(self.tables)), getattr(self.space, "saved", None)
        if not isinstance(saved, dict):
            yield f"`saved` is {a_kind(saved)}" if hasattr(self.space, "saved") else "there is no `saved`"
        elif sorted(map(str, saved)) != away:
            yield f"`saved` holds {', '.join(sorted(map(str, saved))) or 'nothing'}, where {', '.join(away) or 'nobody'} is away"

    def __str__(self):
        return "\n".join([*self.lines(), *self.complaints()])

    __repr__ = __str__


class Swapping(Game):
    """Programs on a SwapMemory. What each text should read is known from what was written."""

    opening = (
        "from course_lib.practice.play import SwapMemory",
        "memory = SwapMemory(SwapSpace, num_blocks={num_blocks}, block_size={block_size})",
    )
    lines = {
        "write": "{0} = memory.write({1})",
        "more": "memory.more({0}, {1})",
        "out": "memory.out({0})",
        "instead": "{0} = memory.instead({1}, {2})",
        "back": "memory.back({0}, found={1})",
        "turn": "memory.turn({0}, {1})",
    }
    least = {"write": 1, "more": 1, "instead": 1, "num_blocks": 1, "block_size": 1}

    def __init__(self, answer, num_blocks, block_size):
        self.memory, self.by_name = SwapMemory(answer, num_blocks, block_size), {}

    def _blocks(self, tokens):
        return -(-tokens // self.memory.size)

    def _sense(self, *, inside=(), away=(), fits=True):
        named = self.by_name
        if not fits or any(name not in named or named[name].request_id not in self.memory.tables for name in inside):
            raise Senseless
        if any(name not in named or named[name].request_id in self.memory.tables for name in away):
            raise Senseless

    def _free(self):
        return len(self.memory.free)

    def _length(self, name):
        return self.by_name[name].num_computed_tokens if name in self.by_name else 0

    def write(self, name, n):
        self._sense(fits=self._blocks(n) <= self._free() and name not in self.by_name)
        self.by_name[name] = self.memory.write(n)
        return self._seen()

    def more(self, name, n):
        length = self._length(name)
        self._sense(inside=[name], fits=self._blocks(length + n) - self._blocks(length) <= self._free())
        self.memory.more(self.by_name[name], n)
        return self._seen()

    def out(self, name):
        self._sense(inside=[name])
        self.memory.out(self.by_name[name])
        return self._seen()

    def instead(self, name, other, n):
        fits = self._blocks(n) <= self._free() + self._blocks(self._length(other)) and name not in self.by_name
        self._sense(inside=[other], fits=fits)
        self.by_name[name] = self.memory.instead(self.by_name[other], n)
        return self._seen()

    def back(self, name, found):
        length = self._length(name)
        self._sense(away=[name], fits=self._blocks(length) <= self._free() and found * self.memory.size <= length)
        self.memory.back(self.by_name[name], found)
        return self._seen()

    def turn(self, out, back):
        fits = self._blocks(self._length(back)) <= self._free() + self._blocks(self._length(out))
        self._sense(inside=[out], away=[back], fits=fits)
        self.memory.turn(self.by_name[out], self.by_name[back])
        return self._seen()

    def _seen(self):
        """What is where, and what is wrong with it; ends the program where anything is."""
        text, right = str(self.memory), "\n".join(self.memory.lines(right=True))
        return Seen(text, ends=text != right)


def draw(chance, names, setup):
    """A step of a random program; see programs.random_trials."""
    kind = chance.choice(("write", "more", "out", "instead", "back", "back", "turn")) if names else "write"
    some = [chance.choice(names or "a") for _ in "ab"]
    if kind in ("write", "instead") and len(names) < 6:
        return (kind, NAMES[len(names)], *([some[0]] if kind == "instead" else []), chance.randint(1, 6))
    if kind == "turn":
        return kind, *some
    if kind == "back":
        return kind, some[0], chance.choice((0, 0, 1))
    return (kind, some[0], chance.randint(1, 4)) if kind == "more" else ("out", some[0])


SETUPS = [{"num_blocks": n, "block_size": size} for n, size in ((3, 2), (4, 2), (2, 4), (5, 1), (4, 3))]


def played(reference, number, seed, lengths=(4, 12)):
    return random_trials(Swapping, reference, draw, number, seed=seed, setups=SETUPS, lengths=lengths)


# --- in a scheduler, without a model ---


def scheduler_over(space, num_blocks, block_size, garbled):
    """A class of schedulers whose steps are carried out on tensors by a SwapSpace.

    garbled: becomes {(step, request): (how many of its tokens are foreign, bool [keys or values, layer]: where)}.
    """

    class Carried(Scheduler):
        def __init__(self, config, manager, *, trace=None):
            super().__init__(config, manager, trace=trace)
            self.k, self.v = (torch.zeros(2, num_blocks, block_size, 1, 1) for _ in "kv")
            self.space = space(self.k, self.v)

        def schedule(self):
            step = super().schedule()
            request_of = {**self._swapped, **self.running}.get
            self.space.run(SwapStep.of(step, request_of), lambda: self._compute(step))
            return step

        def _compute(self, step):
            for sequence in step.scheduled:
                request, known, n = self.running[sequence.request_id], sequence.start, sequence.num_tokens
                ids, blocks = request.token_ids[: known + n], self.manager.table(request).block_ids
                at = torch.tensor([blocks[p // block_size] * block_size + p % block_size for p in range(known + n)])
                keys = torch.tensor([64 * token + p + 1 for p, token in enumerate(ids)], dtype=torch.float32)
                right = [sign * (keys + 0.25 * layer) for sign in (1, -1) for layer in (0, 1)]
                kept = [part[layer].flatten() for part in (self.k, self.v) for layer in (0, 1)]
                wrong = torch.stack([have[at[:known]] != want[:known] for have, want in zip(kept, right)])
                if wrong.any():
                    garbled[self.trace.step, request.request_id] = int(wrong.any(0).sum()), wrong.any(1).view(2, 2)
                for have, want in zip(kept, right):
                    have[at[known:]] = want[known:]

    return Carried


def serve_swapped(space, arrivals, *, num_blocks, block_size, **config):
    """The Timeline of a script in a scheduler with preemption by swap, without a model. !3: it reads foreign keys for 3 tokens."""
    garbled = {}
    made = scheduler_over(space, num_blocks, block_size, garbled)
    line = replay(made, arrivals, num_blocks=num_blocks, block_size=block_size, preemption="swap", **config)
    for (step, name), (n, where) in sorted(garbled.items(), reverse=True):
        line.columns[step][0][name] = f"!{n}"
        line.numbers["!"] = f"reads foreign {places(where)} for {{n}} tokens"  # in the end, of the first step
    return line


def places(where):
    """where: bool [keys or values, layer], not all False. In words: "values in layer 1"."""
    kinds = " and ".join(kind for kind, some in zip(("keys", "values"), where.any(1)) if some)
    layers = [str(layer) for layer, some in enumerate(where.any(0)) if some]
    return kinds if len(layers) == where.shape[1] else f"{kinds} in layer {', '.join(layers)}"


# --- in the engine ---


class SwapRunner(Runner):
    """The engine's Runner, with what is swapped left to a SwapSpace."""

    def __init__(self, space, engine):
        super().__init__(engine.model, engine.cache, engine.config)
        self.engine = engine
        self.space = space(engine.pool.k, engine.pool.v)

    saved = property(
        lambda self: self.space.saved, lambda self, value: None
    )  # the engine looks here, and drops what is aborted

    @torch.inference_mode()
    def start(self, step):
        """As Runner.start."""
        moved, rest = SwapStep.of(step, self.engine.request), replace(step, swapped_out=[], swapped_in=[])
        return self.space.run(moved, lambda: Runner.start(self, rest))


def engine_with_swap(space, model, config, **more):
    """Engine(model, config) in which a learner's SwapSpace keeps what is swapped out."""
    engine = Engine(model, config, **more)
    engine.runner = SwapRunner(space, engine)
    return engine
