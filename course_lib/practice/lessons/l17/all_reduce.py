"""The exercise 17.all_reduce: the sum over all ranks by pieces on a ring, and the bytes that it takes."""

import torch

from course_lib.practice.fixtures.ring import Ring
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .all_reduce_mistakes import MISTAKES
from .solutions.all_reduce import all_reduce


def all_reduce_in_place(tensors, ring):
    """Pieces are views of one copy for each rank."""
    n, own = len(tensors), [tensor.clone() for tensor in tensors]
    cut = [tensor.tensor_split(n) for tensor in own]
    for s in range(n - 1):
        for r, part in enumerate(ring.exchange([cut[r][(r - s) % n] for r in range(n)])):
            cut[r][(r - s - 1) % n].add_(part)
    for s in range(n - 1):
        for r, part in enumerate(ring.exchange([cut[r][(r - s + 1) % n] for r in range(n)])):
            cut[r][(r - s) % n].copy_(part)
    return own


def all_reduce_by_travelling(tensors, ring):
    """A piece travels round the ring with its sum, and once more with the result. Other ranks begin with others."""
    n = len(tensors)
    pieces = [tensor.tensor_split(n) for tensor in tensors]
    travelling = [pieces[r][(r + 2) % n] for r in range(n)]
    for s in range(1, n):
        received = ring.exchange(travelling)
        travelling = [received[r] + pieces[r][(r - s + 2) % n] for r in range(n)]
    complete = [{(r - (n - 1) + 2) % n: travelling[r]} for r in range(n)]
    for s in range(1, n):
        travelling = ring.exchange(travelling)
        for r in range(n):
            complete[r][(r - s - (n - 1) + 2) % n] = travelling[r]
    return [torch.cat([one[i].clone() for i in range(n)]) for one in complete]


def all_reduce_in_two(tensors, ring):
    """Two functions, with lists of lists."""
    n = len(tensors)
    if n == 1:
        return [tensors[0].clone()]
    table = [[piece.clone() for piece in torch.tensor_split(tensor, n)] for tensor in tensors]

    def rounds(shift, act):
        for s in range(n - 1):
            send = [(r + shift - s) % n for r in range(n)]
            for r, part in enumerate(ring.exchange([table[r][send[r]] for r in range(n)])):
                i = send[r - 1]
                table[r][i] = act(table[r][i], part)

    rounds(0, lambda own, part: own + part)
    rounds(1, lambda own, part: part)
    return [torch.cat(row) for row in table]


def numbers(got):
    """A list of tensors as lists of ints, which are the same on every processor; anything else as it is."""
    if not isinstance(got, (list, tuple)) or not all(isinstance(one, torch.Tensor) for one in got):
        return got
    return type(got)(one.long().tolist() for one in got)


def given(num_ranks, size, dtype=torch.int64):
    """Tensors whose sums differ at every place: rank r has (r + 1), (r + 1) * 10 … in turn, and no zeros."""
    return [torch.tensor([(r + 1) * 10 ** (i % 3) + i for i in range(size)], dtype=dtype) for r in range(num_ranks)]


def written(tensors):
    dtype = "" if tensors[0].dtype == torch.int64 else f", dtype={tensors[0].dtype}"
    if len(tensors) * len(tensors[0]) > 24:
        return f"[torch.full(({len(tensors[0])},), r + 1{dtype}) for r in range({len(tensors)})]"
    return "[" + ", ".join(f"torch.tensor({tensor.long().tolist()}{dtype})" for tensor in tensors) + "]"


def reduced(num_ranks, size, look, end, dtype=torch.int64, note="", is_broken=False):
    """The Trial of one call. look(got, ring): what is compared; end: the line that shows it."""
    large = num_ranks * size > 24

    def act(answer):
        ring = Ring(num_ranks, is_broken)
        tensors = given(num_ranks, size, dtype)
        if large:
            tensors = [torch.full((size,), r + 1, dtype=dtype) for r in range(num_ranks)]
        return look(answer(tensors, ring), ring)

    story = [
        "from course_lib.practice.play import Ring",
        f"ring = Ring({num_ranks}{', is_broken=True' if is_broken else ''})",
        f"sums = all_reduce({written(given(num_ranks, size, dtype))}, ring)",
        end,
    ]
    return Trial(story, act, note=note, size=num_ranks * size)


def fractions(num_ranks, dtype):
    """The Trial of numbers with a fraction that every dtype holds: eighths."""

    def act(answer):
        tensors = [tensor.div(8).to(dtype) for tensor in given(num_ranks, num_ranks, torch.float32)]
        return [one.double().mul(8).long().tolist() for one in answer(tensors, Ring(num_ranks))]

    story = [
        "from course_lib.practice.play import Ring",
        f"tensors = [tensor.div(8).to({dtype}) for tensor in {written(given(num_ranks, num_ranks))}]",
        f"[one.double().mul(8).long().tolist() for one in all_reduce(tensors, Ring({num_ranks}))]  # in eighths",
    ]
    return Trial(story, act, size=10 * num_ranks)


def sums(num_ranks, size, note=""):
    return reduced(num_ranks, size, lambda got, ring: numbers(got), "[one.tolist() for one in sums]", note=note)


def sent(num_ranks, size, dtype=torch.int64, note=""):
    share = f"2 ({num_ranks} - 1) / {num_ranks} of {size * dtype.itemsize:,} bytes"
    return reduced(num_ranks, size, lambda got, ring: ring.sent, "ring.sent", dtype, note or share)


def sent_in_all(num_ranks, size):
    note = f"2 ({num_ranks} - 1) times {size * 8} bytes"
    return reduced(num_ranks, size, lambda got, ring: sum(ring.sent), "sum(ring.sent)", note=note)


def steps(num_ranks, size, note=""):
    return reduced(num_ranks, size, lambda got, ring: ring.steps, "ring.steps", note=note)


def dtypes(num_ranks, dtype):
    end = "[str(one.dtype) for one in sums]"
    return reduced(num_ranks, num_ranks, lambda got, ring: [str(one.dtype) for one in got], end, dtype)


def known(num_ranks, size):
    """The Trial of a ring that delivers zeros: how many numbers of each rank are something else."""
    end = "[int((one != 0).sum()) for one in sums]"
    return reduced(
        num_ranks, size, lambda got, ring: [int((one != 0).sum()) for one in got], end, is_broken=True,
        note="what arrives is zeros: of a piece that it summed itself, a rank has its own numbers",
    )  # fmt: skip


def journeys(num_ranks):
    """The Trial of a ring that adds 1,000 to all that arrives: how often each piece of a rank's sum was sent."""

    def act(answer):
        tensors = given(num_ranks, num_ranks)
        total = sum(tensors)
        got = answer(tensors, Ring(num_ranks, adds=1000))
        return [sorted((one - total).div(1000).long().tolist()) for one in got]

    story = [
        "from course_lib.practice.play import Ring",
        f"tensors = {written(given(num_ranks, num_ranks))}",
        f"total, sums = sum(tensors), all_reduce(tensors, Ring({num_ranks}, adds=1000))  # what arrives is 1000 larger",
        "[sorted(((one - total) // 1000).tolist()) for one in sums]",
    ]
    note = "a sum has passed through all ranks, and was then sent on: nobody reads another's tensor"
    return Trial(story, act, note=note, size=10 * num_ranks)


def untouched(num_ranks, size):
    """The Trial of what was given, after the call and after the results were changed; and of the other results."""

    def act(answer):
        tensors = given(num_ranks, size)
        got = answer(tensors, Ring(num_ranks))
        got[0].zero_()
        return numbers(tensors), numbers(list(got[1:]))

    story = [
        "from course_lib.practice.play import Ring",
        f"tensors = {written(given(num_ranks, size))}",
        f"sums = all_reduce(tensors, Ring({num_ranks}))",
        "sums[0].zero_()",
        "[one.tolist() for one in tensors], [one.tolist() for one in sums[1:]]",
    ]
    return Trial(story, act, note="only the first sum is zeros", size=num_ranks * size)


UNTOUCHED = [untouched(*case) for case in ((1, 2), (2, 2), (3, 4), (4, 4))]

ALL_REDUCE = Exercise(
    id="17.all_reduce",
    title="The sum over all ranks, on a ring",
    name="all_reduce",
    properties=[
        Property(
            "Two ranks: each has the sum of both",
            "Each sends one piece to be added, and one that is complete.",
            [sums(2, 2), sums(2, 4), sums(2, 6)],
        ),
        Property(
            "More ranks: each has the sum of all",
            "After reduce-scatter each rank has one complete piece. All-gather brings it to the others.",
            [sums(3, 3), sums(4, 4), sums(3, 6), sums(5, 5)],
        ),
        Property(
            "Lengths that N does not divide",
            "`tensor_split(N)` always makes N pieces, also empty ones. `chunk(N)` may make fewer.",
            [sums(2, 3), sums(2, 1), sums(3, 4), sums(4, 5), sums(4, 2), sums(3, 2), sums(5, 3)],
        ),
        Property(
            "2 (N - 1) steps",
            "N - 1 for reduce-scatter and N - 1 for all-gather.",
            [steps(2, 2), steps(3, 3), steps(4, 4), steps(5, 10)],
        ),
        Property(
            "Each rank sends 2 (N - 1) / N times the bytes of a tensor",
            "That is less than twice the tensor, however many ranks there are.",
            [
                *(sent(n, n) for n in (2, 3, 4)),
                sent(4, 8),
                sent(2, 4, torch.bfloat16),
                sent(4, 4096, torch.bfloat16),
                *(sent_in_all(*case) for case in ((2, 3), (3, 4), (4, 2))),
            ],
        ),
        Property(
            "A rank knows only its own tensor and what it received",
            "The other tensors of the list are in other processes.",
            [known(2, 2), known(3, 3), known(4, 8), *map(journeys, (2, 3, 4))],
        ),
        Property(
            "With one rank nothing is sent",
            "Its own tensor is the sum.",
            [
                sums(1, 1),
                sums(1, 3),
                steps(1, 3, note="nobody to send to"),
                steps(1, 1),
                sent(1, 1),
                sent(1, 3, note="nothing"),
            ],
        ),
        Property(
            "The dtype stays",
            "Weights and activations are sent in 16 bits.",
            [dtypes(2, torch.int64), dtypes(2, torch.bfloat16), dtypes(3, torch.float16), dtypes(3, torch.float32)]
            + [fractions(2, torch.float32), fractions(3, torch.float16), fractions(2, torch.bfloat16)],
        ),
        Property(
            "What was given is not changed, and each result has memory of its own",
            "The caller may use all of them afterwards.",
            UNTOUCHED,
        ),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "tensors of the caller are changed, or results share memory.",
            "`tensor_split` gives views: what is written into a piece is written into the tensor. Cut a copy, "
            "`tensor.clone()`, and make a tensor of its own for each rank.",
            is_made_by=writes_into(UNTOUCHED),
        ),
        *MISTAKES,
    ],
    hints=[
        "`pieces = [list(tensor.clone().tensor_split(n)) for tensor in tensors]`: `pieces[r][i]` is piece i of rank r.",
        "A step is one call: `received = ring.exchange([pieces[r][(r - s) % n] for r in range(n)])`. After it, go "
        "through the ranks: `pieces[r][(r - s - 1) % n] += received[r]`.",
        "Why (r - s - 1)? Rank r - 1 sent its piece (r - 1) - s. What arrives belongs to the piece of that number.",
        "All-gather is the same loop with (r + 1 - s) for what is sent, and `pieces[r][(r - s) % n] = received[r]`. "
        "At the end `torch.cat(pieces[r])`.",
    ],
    rights=[all_reduce, all_reduce_in_place, all_reduce_by_travelling, all_reduce_in_two],
    why="Both halves are useful alone: torch.distributed has them as reduce_scatter and all_gather. NCCL takes this "
    "ring for large messages, and for small ones a tree or one direct step, since 2 (N - 1) steps have 2 (N - 1) "
    "latencies.",
)
