"""Exercise 04.page_size: what a block size costs in wasted slots and in blocks, and which size to choose."""

from course_lib.practice.judge.common_mistakes import NO_DICT, NOTHING_RETURNED, PRINTED, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .page_size_answers import answer_with, mean_of_shares, page_size_by_request, page_size_by_slots
from .solutions.page_size import page_size


def costs(lengths, block_sizes, most_wasted=1.0, part=None, note=""):
    """The Trial of one choice that compares the whole result or one number."""
    call = f"page_size({lengths}, {block_sizes}, {most_wasted})"

    def act(answer):
        got = answer(list(lengths), list(block_sizes), most_wasted)
        return got if part is None or not isinstance(got, dict) else got.get(part, f"there is no {part!r} in it")

    return Trial(
        [call if part is None else f'{call}["{part}"]'],
        act,
        note=note,
        size=100 * len(lengths) + 10 * len(block_sizes) + sum(lengths) // 10,
    )


def untouched(lengths, block_sizes):
    """The Trial of whether the caller's lists are the same after the call."""

    def act(answer):
        given = list(lengths), list(block_sizes)
        answer(*given, 1.0)
        return given == (list(lengths), list(block_sizes))

    return Trial(
        [
            f"lengths, sizes = {lengths}, {block_sizes}",
            "page_size(lengths, sizes, 1.0)",
            f"lengths == {lengths} and sizes == {block_sizes}",
        ],
        act,
        size=100 * len(lengths),
    )


def always_none(answer):
    """Whether it returns None even where any waste is allowed."""
    return answer([4], [4], 1.0) is None and answer([3], [1], 1.0) is None


EDGE = [
    ([4], [4]),
    ([8], [4]),
    ([16, 32], [16]),
    ([5], [4]),
    ([1], [4]),
    ([3, 5], [4]),
    ([7, 7, 7], [2]),
    ([100, 1, 33], [16]),
    ([9, 10], [1]),
]
CHOICE = [
    ([5], [1, 4], 0.5),
    ([5], [4, 1], 0.5),
    ([5], [1, 2, 4], 0.25),
    ([10, 3], [1, 2, 4, 8], 0.2),
    ([10, 3], [8, 2, 4, 1], 0.2),
    ([33, 70, 12], [1, 8, 16, 32], 0.1),
    ([500, 20, 170], [256, 128, 64, 32, 16], 0.05),
    ([7, 7, 9], [16, 1, 4], 0.3),
    ([7, 9], [4, 2, 1], 0.4),
    ([999_999], [1, 1_000_000], 0.0),
    ([1_999_999], [1, 2_000_000], 0.0),
    ([7_499_999], [10_000_000, 1], 0.25),
    ([3], [4, 1], 0.249999999),
    ([1], [2, 1], 0.499999999),
    ([6, 6], [8, 1], 0.2499999999),
    ([3, 6], [3, 1, 2], 0.1),
    ([40, 24], [8, 4, 2], 0.1),
]
UNEVEN = [
    ([6], [1, 4, 6], 0.1),
    ([12, 6], [4, 5, 6], 0.1),
    ([24, 48], [1, 16, 24], 0.05),
    ([9], [2, 3], 0.05),
    ([10, 20], [4, 8, 10], 0.08),
]
NONE = [
    ([5], [4], 0.3),
    ([1], [2, 4], 0.25),
    ([17, 33], [16, 32], 0.2),
    ([3], [2], 0.0),
    ([8999], [10_000], 0.1),
    ([4999], [10_000], 0.5),
    ([7499, 2500], [10_000], 0.5),
]
LIMIT = [
    ([3], [4], 0.25),
    ([6], [8], 0.25),
    ([3, 3], [4], 0.25),
    ([1], [2], 0.5),
    ([4], [2, 4], 0.0),
    ([6, 6], [1, 8], 0.25),
    ([19], [20], 0.05),  # 1 - 19 / 20 is above 0.05 as a float
    ([7], [1, 10], 0.3),
    ([3, 4], [5, 1], 0.3),
    ([57, 19], [20, 1], 0.05),
]
SHARES = [
    ([1, 15], [16], 0.55),
    ([1, 1, 30], [4, 16], 0.3),
    ([2, 62], [64], 0.51),
    ([1, 63, 64], [64], 0.4),
    ([1, 31], [1, 32], 0.6),
]
UNTOUCHED = [untouched([5, 9], [8, 1, 4]), untouched([9, 5], [16, 2]), untouched([7, 3, 5], [4, 2, 1])]

PAGE_SIZE = Exercise(
    id="04.page_size",
    title="How large is a block?",
    name="page_size",
    cases="workloads",
    properties=[
        Property(
            "`blocks` is the sum over all requests, each rounded up",
            "A block belongs to one request: two half-filled blocks of different requests are two blocks.",
            [costs(*case, part="blocks") for case in EDGE],
        ),
        Property(
            "`wasted` is the number of empty slots in the last blocks",
            "All other blocks of a request are full.",
            [costs(*case, part="wasted") for case in EDGE],
        ),
        Property(
            "The result has the size and both costs",
            "Three whole numbers: `block_size`, `blocks`, `wasted`.",
            [costs(*case) for case in EDGE],
        ),
        Property(
            "The largest size within the limit is chosen",
            "Larger blocks need shorter tables and fewer reads to gather.",
            [costs(*case) for case in CHOICE],
        ),
        Property(
            "Every size is tried",
            "A larger block can waste less: 6 tokens fit into one block of 6, but not into one of 4.",
            [costs(*case) for case in UNEVEN],
        ),
        Property(
            "The share is relative to all slots that the requests take",
            "It is the wasted slots divided by all slots, summed over all requests: the share of memory that is "
            "wasted.",
            [costs(*case) for case in SHARES],
        ),
        Property("A share of exactly `most_wasted` is allowed", "At most means ≤.", [costs(*case) for case in LIMIT]),
        Property(
            "If every size wastes too much, it returns None",
            "Then a smaller block is needed, which is not in the list.",
            [costs(*case) for case in NONE],
        ),
        Property("The caller's lists are not changed", "They are used again.", UNTOUCHED),
    ],
    mistakes=[
        Mistake(
            PRINTED.name,
            PRINTED.why,
            is_made_by=lambda answer, found: bool(found.printed.strip()) and always_none(answer),
        ),
        Mistake(NOTHING_RETURNED.name, NOTHING_RETURNED.why, is_made_by=lambda answer, found: always_none(answer)),
        NO_DICT,
        Mistake(
            "the caller's lists are changed.",
            "`list.sort()` and `pop` change the caller's list; `sorted(…)` makes a new one.",
            is_made_by=writes_into(UNTOUCHED),
        ),
        Mistake(
            "one block too many is counted when the last block is full.",
            "16 tokens fit into one block of 16. Round up with `-(-length // size)`; `length // size + 1` is one too "
            "many if the remainder is 0.",
            answer_with(need=lambda n, size: n // size + 1),
        ),
        Mistake(
            "the last block is not counted.",
            "A request of 5 tokens takes two blocks of 4: round up, not down.",
            answer_with(need=lambda n, size: n // size),
        ),
        Mistake(
            "the requests are added up before rounding.",
            "A block belongs to one request. Round up for each, then add.",
            answer_with(total=lambda lengths, size, need: need(sum(lengths), size)),
        ),
        Mistake(
            "waste is counted in blocks, or as a share.",
            "`wasted` is a number of slots: all slots minus the tokens.",
            (
                answer_with(waste=lambda blocks, size, lengths: sum(n % size > 0 for n in lengths)),
                answer_with(returns=lambda f: {**f, "wasted": f["wasted"] / (f["blocks"] * f["block_size"])}),
            ),
        ),
        Mistake(
            "the tokens in the last block are counted, not the empty slots.",
            "`length % size` is the number of tokens in the last block. `-length % size` is the number of empty slots.",
            answer_with(waste=lambda blocks, size, lengths: sum(n % size for n in lengths)),
        ),
        Mistake(
            "a last block that is full is counted as empty.",
            "`size - length % size` is `size` if the remainder is 0. `-length % size` is right in this case too.",
            answer_with(waste=lambda blocks, size, lengths: sum(size - n % size for n in lengths)),
        ),
        Mistake(
            "the share is relative to the tokens.",
            "The limit is for the share of memory that is wasted: divide by all slots, `blocks * size`.",
            answer_with(share=lambda wasted, blocks, size, lengths: wasted / sum(lengths)),
        ),
        Mistake(
            "the share is compared in per cent.",
            "`most_wasted` is a share, from 0 to 1: 0.05 stands for 5 %.",
            answer_with(share=lambda wasted, blocks, size, lengths: 100 * wasted / (blocks * size)),
        ),
        Mistake(
            "the share is rounded, or compared with a tolerance.",
            "A size that wastes 10.01 % is above 0.1. Compare the share as it is.",
            (
                answer_with(small=lambda share, most: round(share, 2) <= most),
                answer_with(small=lambda share, most: round(share, 3) <= most),
                answer_with(small=lambda share, most: share <= most + 1e-3),
                answer_with(small=lambda share, most: share <= most + 1e-6),
                answer_with(small=lambda share, most: share <= most + 1e-8),
            ),
        ),
        Mistake(
            "the share is averaged over requests.",
            "A short request wastes a large share, but few slots. Sum the slots first, and divide once.",
            answer_with(share=mean_of_shares),
        ),
        Mistake(
            "the smallest size is chosen.",
            "It wastes the fewest slots, but needs the most blocks. Choose the largest size within the limit.",
            answer_with(choose=min),
        ),
        Mistake(
            "the search stops at the first size that wastes too much.",
            "A larger size can waste less. Try all of them.",
            answer_with(every=False),
        ),
        Mistake(
            "only the largest size is tried.",
            "Where it wastes too much, a smaller one may do. Return in the loop only where the share is small enough.",
            lambda lengths, sizes, most: page_size(lengths, [max(sizes)], most),
        ),
        Mistake(
            "the order of the sizes in the list decides.",
            "`block_sizes` is not sorted: use `max`, or sort a copy.",
            (
                answer_with(choose=lambda found, key: found[-1], order=list),
                answer_with(choose=lambda found, key: found[0], order=list),
            ),
        ),
        Mistake(
            "a share of exactly `most_wasted` is refused.",
            "At most means ≤.",
            answer_with(small=lambda share, most: share < most),
        ),
        Mistake(
            "the share is computed as 1 minus the tokens' share, and is rounded.",
            "`1 - 19 / 20` is 0.050000000000000044, above 0.05. Divide the wasted slots by all slots: one division is "
            "rounded once, as 0.05 is.",
            answer_with(share=lambda wasted, blocks, size, lengths: 1 - sum(lengths) / (blocks * size or 1)),
        ),
        Mistake(
            "only the size is returned.",
            "Return a dict with `block_size`, `blocks` and `wasted`.",
            answer_with(returns=lambda f: f["block_size"]),
        ),
        Mistake(
            "a size is returned although it wastes too much.",
            "If no size is within the limit, return None.",
            lambda lengths, sizes, most: page_size(lengths, sizes, most) or page_size(lengths, [min(sizes)], 1.0),
        ),
    ],
    hints=[
        "For one length and one size: how many blocks, rounded up? How many slots is that, and how many of them are "
        "empty?",
        "`blocks = sum(-(-length // size) for length in lengths)`, and `wasted = blocks * size - sum(lengths)`.",
        "The share is `wasted / (blocks * size)`. Try all sizes, keep those with a share of at most `most_wasted`, "
        "and choose the largest. If there is none, return None.",
    ],
    rights=[page_size, page_size_by_request, page_size_by_slots],
    why="The loop goes through the sizes in rising order, so the last one within the limit is the largest. It tries "
    "all sizes, because waste does not always grow with the size. On average a last block is half empty, so each "
    "request wastes about block_size / 2 slots; a larger size makes the tables shorter.",
)
