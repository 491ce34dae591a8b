"""The mistakes in 13.pick_tiles. Each is the right answer with one part replaced."""

from course_lib.practice.judge.exercise import Mistake

SIDES = (128, 64, 32, 16)


def rounded_up(head_dim):
    return 1 << (head_dim - 1).bit_length()


def wrong(
    *,
    width=rounded_up,
    rows=lambda m, n, stages: m + 2 * stages * n,
    bytes_of=lambda numbers, itemsize: numbers * itemsize,
    fits=lambda taken, limit: taken <= limit,
    programs=lambda m, n, lens: sum(-(-length // m) for length in lens),
    of_heads=lambda heads: heads,
    enough=lambda programs, sms: programs >= sms,
    best=max,
    least_busy=lambda fit: max(pair for pair in fit if pair[0] == 16),
    nothing=lambda: None,
    sides=SIDES,
    sides_of_m=None,
    gives=lambda pair: pair,
    stages_used=lambda stages: stages,
):
    """A wrong answer: the right one with one part replaced."""

    def answer(head_dim, itemsize, shared_memory, sms, query_lens, num_heads, stages=2):
        stages = stages_used(stages)
        fit = [
            (m, n)
            for m in sides_of_m or sides
            for n in sides
            if fits(bytes_of(rows(m, n, stages) * width(head_dim), itemsize), shared_memory)
        ]
        busy = [(m, n) for m, n in fit if enough(programs(m, n, query_lens) * of_heads(num_heads), sms)]
        if not fit:
            return nothing()
        best_pair = best(busy) if busy else least_busy(fit)
        return None if best_pair is None else gives(best_pair)

    return answer


def square(m, n, stages):
    return m + 2 * stages * n if m == n else 10**9


def block_m_first(head_dim, itemsize, shared_memory, sms, query_lens, num_heads, stages=2):
    """Finds block_m by the multiprocessors alone, whether it fits or not, and then block_n for it."""
    busy = [m for m in SIDES if num_heads * sum(-(-length // m) for length in query_lens) >= sms]
    block_m = max(busy, default=16)
    taken = {n: (block_m + 2 * stages * n) * rounded_up(head_dim) * itemsize for n in SIDES}
    return next(((block_m, n) for n in SIDES if taken[n] <= shared_memory), None)


def busy_if(holds):
    """The right answer, with no programs for a pair and lengths for which `holds` is False."""
    return wrong(programs=lambda m, n, lens: sum(-(-length // m) for length in lens) if holds(m, n, lens) else 0)


MISTAKES = [
    Mistake(
        "stages are not counted.",
        "With two stages, two tiles of K and two of V are held at the same time: `2 * stages * block_n` rows.",
        (wrong(rows=lambda m, n, stages: m + 2 * n), wrong(stages_used=lambda stages: 2)),
    ),
    Mistake(
        "only one of K and V is counted.",
        "A program holds a tile of K and a tile of V for each stage.",
        wrong(rows=lambda m, n, stages: m + stages * n),
    ),
    Mistake(
        "the tile of Q is not counted.",
        "A program holds its block_m queries while it goes over the keys.",
        wrong(rows=lambda m, n, stages: 2 * stages * n),
    ),
    Mistake(
        "the tile of Q is counted once for each stage.",
        "Q is loaded once and stays: only K and V have stages.",
        wrong(rows=lambda m, n, stages: stages * (m + 2 * n)),
    ),
    Mistake(
        "a tile for the output is counted too.",
        "The output is collected in registers. Shared memory holds Q, K and V.",
        wrong(rows=lambda m, n, stages: 2 * m + 2 * stages * n),
    ),
    Mistake(
        "numbers are counted, not bytes.",
        "A number of float16 takes 2 bytes: multiply by `itemsize`.",
        (wrong(bytes_of=lambda numbers, itemsize: numbers), wrong(bytes_of=lambda numbers, itemsize: 2 * numbers)),
    ),
    Mistake(
        "head_dim is not rounded up to a power of two.",
        "A row of a tile is a power of two long: 80 numbers take as much room as 128.",
        (
            wrong(width=lambda head_dim: head_dim),
            wrong(width=lambda head_dim: -(-head_dim // 16) * 16),
            wrong(width=lambda head_dim: -(-head_dim // 32) * 32),
        ),
    ),
    Mistake(
        "a small head_dim is rounded up to 16 or more.",
        "8 is a power of two already, and 5 becomes 8. Only the sides of a tile are 16 or more.",
        wrong(width=lambda head_dim: max(16, rounded_up(head_dim))),
    ),
    Mistake(
        "a head_dim that is a power of two is doubled.",
        "64 stays 64, and 80 becomes 128: `1 << (head_dim - 1).bit_length()`.",
        wrong(width=lambda head_dim: 1 << head_dim.bit_length()),
    ),
    Mistake(
        "tiles that fit exactly are refused.",
        "A limit of 10,240 bytes allows 10,240 bytes: `<=`.",
        wrong(fits=lambda taken, limit: taken < limit),
    ),
    Mistake(
        "the shared memory is not looked at.",
        "A kernel that asks for more than the chip has does not start.",
        wrong(fits=lambda taken, limit: True),
    ),
    Mistake(
        "exactly one program for each multiprocessor is not enough.",
        "With 40 programs, 40 multiprocessors are busy: `>=`.",
        wrong(enough=lambda programs, sms: programs > sms),
    ),
    Mistake(
        "more than one program for each multiprocessor is asked for.",
        "One program each is enough here: at least as many programs as multiprocessors.",
        (
            wrong(enough=lambda programs, sms: programs >= 2 * sms),
            wrong(enough=lambda programs, sms: programs >= 4 * sms),
        ),
    ),
    Mistake(
        "half of the multiprocessors, or one of them, may be idle.",
        "Every multiprocessor needs a program of its own: at least as many programs as multiprocessors.",
        (
            wrong(enough=lambda programs, sms: 2 * programs >= sms),
            wrong(enough=lambda programs, sms: programs >= sms - 1),
        ),
    ),
    Mistake(
        "the multiprocessors are not looked at.",
        "Large tiles make few programs, and multiprocessors without one do nothing. Take smaller ones then.",
        wrong(enough=lambda programs, sms: True),
    ),
    Mistake(
        "the heads are not counted.",
        "Each head has programs of its own: multiply by `num_heads`.",
        wrong(of_heads=lambda heads: 1),
    ),
    Mistake(
        "the lengths are added before they are rounded up.",
        "A tile holds queries of one sequence. Round each length up to whole tiles, then add.",
        wrong(programs=lambda m, n, lens: -(-sum(lens) // m)),
    ),
    Mistake(
        "the number of tiles is rounded down.",
        "129 queries are one full tile of 128, and one more with a single query: `-(-n // block_m)`.",
        (
            wrong(programs=lambda m, n, lens: sum(length // m for length in lens)),
            wrong(programs=lambda m, n, lens: sum(max(1, length // m) for length in lens)),
        ),
    ),
    Mistake(
        "a full tile too many is counted.",
        "`n // block_m + 1` is one too many where n is a multiple of block_m: `-(-n // block_m)`.",
        wrong(programs=lambda m, n, lens: sum(length // m + 1 for length in lens)),
    ),
    Mistake(
        "every sequence is counted as long as the longest.",
        "Sequences are packed without padding: each has as many programs as its own length needs.",
        wrong(programs=lambda m, n, lens: len(lens) * -(-max(lens) // m)),
    ),
    Mistake(
        "only one sequence is counted.",
        "All sequences of the step are computed in one launch: add up their programs.",
        (wrong(programs=lambda m, n, lens: -(-lens[0] // m)), wrong(programs=lambda m, n, lens: -(-max(lens) // m))),
    ),
    Mistake(
        "tiles of keys are counted as programs.",
        "A program goes over all keys of its queries, one tile after the other. Only block_m decides how many "
        "programs there are.",
        wrong(programs=lambda m, n, lens: sum(-(-length // m) * -(-length // n) for length in lens)),
    ),
    Mistake(
        "None is returned where not all multiprocessors can be busy.",
        "The work must be done anyway: return block_m 16 with the largest block_n that fits.",
        wrong(least_busy=lambda fit: None),
    ),
    Mistake(
        "where not all multiprocessors can be busy, the largest tiles are taken.",
        "The smallest block_m makes the most programs: 16.",
        wrong(least_busy=max),
    ),
    Mistake(
        "where not all multiprocessors can be busy, block_n is small too.",
        "block_n does not change the number of programs. Take the largest that fits with block_m 16.",
        wrong(least_busy=min),
    ),
    Mistake(
        "block_m is chosen before it is known what fits.",
        "The largest block_m that keeps all busy may not fit. A smaller one may: look at pairs that do both.",
        block_m_first,
    ),
    Mistake(
        "block_n is at most block_m.",
        "Both are chosen separately: block_n may be larger than block_m.",
        (busy_if(lambda m, n, lens: n <= m), wrong(rows=lambda m, n, stages: m + 2 * stages * n if n <= m else 10**9)),
    ),
    Mistake(
        "block_m is not larger than the sequences.",
        "The page asks for the largest block_m that fits and keeps all busy, also where a sequence is shorter.",
        (
            busy_if(lambda m, n, lens: m == 16 or m // 2 < max(lens)),
            busy_if(lambda m, n, lens: m == 16 or m <= max(lens)),
        ),
    ),
    Mistake(
        "block_n is made large first.",
        "block_m decides how often keys and values are read: the largest block_m first, then the largest block_n.",
        wrong(best=lambda pairs: max(pairs, key=lambda pair: pair[::-1])),
    ),
    Mistake(
        "not all sizes are tried for block_m.",
        "It is one of 16, 32, 64 and 128.",
        (wrong(sides_of_m=(64, 32, 16)), wrong(sides_of_m=(128, 64, 16)), wrong(sides_of_m=(128, 32, 16))),
    ),
    Mistake(
        "the pair with the largest product is taken.",
        "block_m comes first, however small block_n is with it: it decides how often keys and values are read.",
        wrong(best=lambda pairs: max(pairs, key=lambda pair: (pair[0] * pair[1], pair[1]))),
    ),
    Mistake("the smallest tiles are taken.", "Of the tiles that will do, take the largest.", wrong(best=min)),
    Mistake(
        "only square tiles are tried.",
        "block_m and block_n are chosen separately: there are 16 pairs.",
        wrong(rows=square),
    ),
    Mistake(
        "sides above 128, or below 16, are tried.",
        "The sides are 16, 32, 64 and 128. Larger ones need more registers than a program has.",
        (
            wrong(sides=(256, *SIDES)),
            wrong(sides=(*SIDES, 8), least_busy=lambda fit: max(pair for pair in fit if pair[0] == 8)),
            wrong(sides=(512, 256, *SIDES)),
        ),
    ),
    Mistake(
        "block_m and block_n are exchanged.",
        "block_m is the number of queries and comes first; block_n is the number of keys.",
        wrong(gives=lambda pair: pair[::-1]),
    ),
    Mistake(
        "something else than None is returned where nothing fits.",
        "None says that this kernel cannot run on this chip: the caller takes another way.",
        (wrong(nothing=lambda: (16, 16)), wrong(nothing=lambda: (0, 0)), wrong(nothing=lambda: (None, None))),
    ),
]
