"""05.copy_on_write: a shared block is copied before a table writes into it."""

from course_lib.practice.fixtures.forkable import Forkable
from course_lib.practice.judge.exercise import Counterexample, Exercise, NotVerified, Property, Trial
from course_lib.practice.judge.programs import told

from .copy_on_write_mistakes import MISTAKES
from .solutions.copy_on_write import BlockTable
from .table_game import SETUPS, Sequences, played


class CopyTokenByToken(Forkable):
    """Right: compares what is needed with what is free, then appends token by token."""

    def append_slots(self, n):
        a, size = self.allocator, self.allocator.block_size
        ends_inside = self.num_tokens % size != 0
        copy = n and ends_inside and a.ref_count(self.block_ids[-1]) != 1
        wanted = len([p for p in range(self.num_tokens, self.num_tokens + n) if p % size == 0]) + (1 if copy else 0)
        if wanted > a.num_free:
            return None
        if copy:
            [new] = a.allocate()
            old = self.block_ids.pop()
            self.block_ids.append(new)
            a.copies += [(old, new)]
            a.free([old])
        slots = []
        for _ in range(n):
            if self.num_tokens % size == 0:
                self.block_ids.extend(a.allocate(1))
            self.num_tokens += 1
            slots.append(self.slot(self.num_tokens - 1))
        return slots


class CopyLast(Forkable):
    """Right: allocates the new blocks, then the block of the copy; frees the first where the second fails."""

    def append_slots(self, n):
        size = self.allocator.block_size
        last, rest = divmod(self.num_tokens, size)
        more = self.allocator.allocate(max(0, (self.num_tokens + n + size - 1) // size - len(self.block_ids)))
        if more is None:
            return None
        if rest and n and self.allocator.ref_count(self.block_ids[last]) >= 2:
            copy = self.allocator.allocate(1)
            if copy is None:
                self.allocator.free(more)
                return None
            self.allocator.free([self.block_ids[last]])
            self.allocator.copies.append((self.block_ids[last], copy[0]))
            self.block_ids[last] = copy[0]
        self.block_ids = self.block_ids + more
        slots = [block * size + i for block in self.block_ids for i in range(size)][
            self.num_tokens : self.num_tokens + n
        ]
        self.num_tokens += n
        return slots


def writes_the_same_samples(answer):
    """Raises Counterexample unless three samples of the bundled model over one prompt give what each gives alone."""
    import torch

    from course_lib.decoding import SamplingParams, generate_naive
    from course_lib.errors import CourseError
    from course_lib.kvcache import BlockAllocator, KVPool, PagedCache

    try:
        from course_lib.models import load_model

        model, tokenizer = load_model("tale", device="cpu", dtype=torch.float32)
    except (CourseError, ImportError, OSError) as error:
        raise NotVerified(f"the bundled model could not be loaded ({error})") from error
    prompt, firsts = (
        tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named"),
        [" Juniper", " Thistle", " Quill"],
    )
    starts = [prompt + tokenizer.encode("a" + first)[2:] for first in firsts]
    expected = [generate_naive(model, ids, SamplingParams(max_tokens=8, ignore_eos=True)) for ids in starts]

    @torch.inference_mode()
    def act(answer):
        allocator = BlockAllocator(32, 4)
        cache = PagedCache(KVPool(model.config, 32, 4, "cpu", torch.float32), allocator)
        first = answer(allocator)
        first.append_slots(len(prompt))
        model(torch.tensor(prompt), cache.begin_step([first], [len(prompt)]), cache)
        tables, written = [first, first.fork(), first.fork()], [[], [], []]
        steps = [ids[len(prompt) :] for ids in starts]
        for _ in range(8):
            for table, step in zip(tables, steps):
                table.append_slots(len(step))
            positions = cache.begin_step(tables, list(map(len, steps)))
            ends = torch.tensor(list(map(len, steps))).cumsum(0) - 1
            logits = model(torch.tensor(sum(steps, [])), positions, cache, logits_for=ends)
            for sample, row in zip(written, logits):
                sample.append(int(row.argmax()))
            steps = [sample[-1:] for sample in written]
        return written

    trial = Trial(
        ["# three samples continue one prompt, over your tables, in PagedCache:", f"# {', '.join(firsts)}"],
        act,
        show=lambda samples: "\n".join(map(tokenizer.decode, samples)),
        limit_s=60.0,
    )
    got, printed = trial.outcome(answer)
    if got != expected:
        raise Counterexample(
            trial.story,
            trial.show(expected),
            trial.show(got) if isinstance(got, list) else str(got),
            "the same as generate_naive",
            printed=printed,
            outcome=got,
        )
    return f"{sum(map(len, expected))} tokens are equal"


def one(num_blocks, *steps, block_size=4):
    return told(Sequences, {"num_blocks": num_blocks, "block_size": block_size}, *steps)


def forked(tokens, *more, num_blocks=8, block_size=4):
    return one(num_blocks, ("table", "a"), ("append", "a", tokens), ("fork", "b", "a"), *more, block_size=block_size)


TIGHT = [{"num_blocks": n, "block_size": size} for n, size in ((4, 4), (5, 2), (4, 3), (6, 2))]

COPY_ON_WRITE = Exercise(
    id="05.copy_on_write",
    title="A copy before a shared block is written",
    name="BlockTable",
    cases="programs",
    properties=[
        Property(
            "A table that shares no block appends as in lesson 04",
            "It takes a new block when its last block is full. Nothing is copied.",
            [
                one(8, ("table", "a"), ("append", "a", first), *[("append", "a", n) for n in more], block_size=size)
                for first in (1, 4, 6)
                for more in ([], [1], [3, 2], [0])
                for size in (4, 2)
            ],
        ),
        Property(
            "Before a table writes into a shared block, it gets a copy of that block",
            "The other table must still read its own tokens.",
            [forked(tokens, ("append", who, n)) for tokens in (1, 2, 3, 5, 6) for who in "ab" for n in (1, 2, 6)],
        ),
        Property(
            "A full block is never copied",
            "No table writes into a full block again. The next token goes into a new block.",
            [
                forked(tokens, ("append", "b", n), block_size=size)
                for tokens, size in ((4, 4), (8, 4), (2, 2), (6, 3))
                for n in (0, 1, 5)
            ]
            + [forked(tokens, ("append", who, 0)) for tokens in (1, 3, 6) for who in "ab"],
        ),
        Property(
            "A table that holds its last block alone writes into it without a copy",
            "Once the other tables have their copies, or are freed, no other table reads the block.",
            [forked(tokens, ("append", "b", 1), ("append", "a", 1)) for tokens in (1, 2, 5)]
            + [forked(tokens, ("free", "a"), ("append", "b", n)) for tokens in (1, 3, 6) for n in (1, 4)]
            + [
                forked(tokens, ("fork", "c", "b"), ("append", "b", 1), ("append", "c", 1), ("append", "a", 1))
                for tokens in (1, 3, 6)
            ],
        ),
        Property(
            "Copies of several tables can be pending at once",
            "In a step of an engine all tables ask for slots first. Then the owner of the tensors makes all copies in "
            "`allocator.copies`.",
            [
                forked(tokens, *more, ("together", "a", n, "b", m), num_blocks=12)
                for tokens in (1, 2, 6)
                for more in ([("fork", "c", "a")], [("fork", "c", "b"), ("append", "c", 1)])
                for n, m in ((1, 1), (2, 5))
            ]
            + played(Sequences, BlockTable, 25, 13, "fork", "fork", "together", "together", "append", setups=SETUPS),
        ),
        Property(
            "When too few blocks are free, `append_slots` returns `None` and changes nothing",
            "The caller can wait, or preempt another request, and try again.",
            [
                forked(tokens, ("append", "b", n), num_blocks=4)
                for tokens, n in ((14, 1), (14, 2), (13, 3), (14, 3), (10, 7), (10, 3), (10, 2), (6, 11))
            ]
            + played(Sequences, BlockTable, 25, 11, "fork", "fork", "append", "free", setups=TIGHT),
        ),
        Property(
            "In any order of calls, each table reads its own sequence",
            "An engine makes these calls in any order.",
            played(Sequences, BlockTable, 60, 6, "table", "fork", "fork", "append", "append", "free", setups=SETUPS),
        ),
        Property(
            "Three samples of the bundled model give the tokens that each gives alone",
            "Your tables, in `PagedCache`, with the copies made in the tensors.",
            run=writes_the_same_samples,
            slow=True,
        ),
    ],
    mistakes=MISTAKES,
    hints=[
        "A token goes into the last block when `num_tokens` is not a multiple of the block size. A copy is needed "
        "only then, and only when `ref_count` of that block is above 1.",
        "Count what is needed before you take anything: the new blocks, `-(-(start + n) // size) - "
        "len(self.block_ids)`, and one more for the copy. Make one call of `allocate` for all of them. If it returns "
        "None, return None.",
        "The first new block replaces the shared one. Append `(source, destination)` to `allocator.copies` and give "
        "up your reference with `allocator.free([source])`.",
        "`shared = n > 0 and start % size > 0 and self.allocator.ref_count(self.block_ids[-1]) > 1`; then `fresh = "
        "self.allocator.allocate(missing + shared)`; if shared: `destination = fresh.pop(0)`, report, free, replace; "
        "then `self.block_ids += fresh`.",
    ],
    rights=[BlockTable, CopyTokenByToken, CopyLast],
    why="Sharing is tested at one place only: before a token goes into a block that the table already holds. All "
    "blocks are allocated in one call before anything changes, so that a failed call leaves no trace. The ledger "
    "does not touch tensors. It records the pair, and the owner of the pool copies the block before it writes.",
)
