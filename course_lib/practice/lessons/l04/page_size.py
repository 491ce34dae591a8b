"""Cases of 04.page_size: what a block size costs on both sides, and which to take."""

from course_lib.practice.judge.common_mistakes import NOTHING_RETURNED, PRINTED, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .page_size_answers import answer_with, mean_of_shares, page_size_by_request, page_size_by_slots
from .solutions.page_size import page_size


def costs(lengths, block_sizes, most_wasted=1.0, part=None, note=""):
    """The Trial of one choice, looking at everything or at one number."""
    call = f"page_size({lengths}, {block_sizes}, {most_wasted})"

    def act(answer):
        got = answer(list(lengths), list(block_sizes), most_wasted)
        return got if part is None or got is None else got[part]

    return Trial(
        [call if part is None else f'{call}["{part}"]'],
        act,
        note=note,
        size=100 * len(lengths) + 10 * len(block_sizes) + sum(lengths) // 10,
    )


def untouched(lengths, block_sizes):
    """The Trial that looks at the caller's lists after the call."""

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
    """Whether it gives None also where nothing at all is wasted."""
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
NONE = [([5], [4], 0.3), ([1], [2, 4], 0.25), ([17, 33], [16, 32], 0.2), ([3], [2], 0.0)]
LIMIT = [
    ([3], [4], 0.25),
    ([6], [8], 0.25),
    ([3, 3], [4], 0.25),
    ([1], [2], 0.5),
    ([4], [2, 4], 0.0),
    ([6, 6], [1, 8], 0.25),
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
    title="How large is a page?",
    name="page_size",
    cases="workloads",
    properties=[
        Property(
            "`blocks` is what all requests take together, each rounded up for itself",
            "A block belongs to one request: two halves of different requests are two blocks.",
            [costs(*case, part="blocks") for case in EDGE],
        ),
        Property(
            "`wasted` is the empty slots in their last blocks",
            "All other blocks of a request are full.",
            [costs(*case, part="wasted") for case in EDGE],
        ),
        Property(
            "The answer says the size and both costs",
            "Three whole numbers: `block_size`, `blocks`, `wasted`.",
            [costs(*case) for case in EDGE],
        ),
        Property(
            "Of the sizes that waste little enough it is the largest",
            "Larger blocks make shorter tables and fewer pieces to gather.",
            [costs(*case) for case in CHOICE],
        ),
        Property(
            "Every size is looked at",
            "A larger block can waste less: 6 tokens fit into one block of 6, but not into one of 4.",
            [costs(*case) for case in UNEVEN],
        ),
        Property(
            "The share is of all slots that the requests take",
            "Slots wasted, divided by slots taken, over all requests together: that is memory.",
            [costs(*case) for case in SHARES],
        ),
        Property("Exactly the share that is allowed is allowed", "At most means ≤.", [costs(*case) for case in LIMIT]),
        Property(
            "Where every size wastes too much it gives None",
            "Then the answer is a smaller block, which nobody offered.",
            [costs(*case) for case in NONE],
        ),
        Property("The caller's lists stay as they were", "They are used again.", UNTOUCHED),
    ],
    mistakes=[
        Mistake(
            PRINTED.name,
            PRINTED.why,
            is_made_by=lambda answer, found: bool(found.printed.strip()) and always_none(answer),
        ),
        Mistake(NOTHING_RETURNED.name, NOTHING_RETURNED.why, is_made_by=lambda answer, found: always_none(answer)),
        Mistake(
            "the caller's lists are changed.",
            "`list.sort()` and `pop` write into the caller's own list; `sorted(…)` makes a new one.",
            is_made_by=writes_into(UNTOUCHED),
        ),
        Mistake(
            "one block too many is counted at the edge of a block.",
            "16 tokens fit into one block of 16. Round up with `-(-length // size)`; `length // size + 1` is one too "
            "many when it goes without rest.",
            answer_with(need=lambda n, size: n // size + 1),
        ),
        Mistake(
            "the last block is not counted.",
            "A request of 5 tokens takes two blocks of 4: round up, not down.",
            answer_with(need=lambda n, size: n // size),
        ),
        Mistake(
            "the requests are taken together before rounding.",
            "A block belongs to one request. Round up for each, then add.",
            answer_with(total=lambda lengths, size, need: need(sum(lengths), size)),
        ),
        Mistake(
            "waste is counted in blocks, or as a share.",
            "`wasted` is a number of slots: slots taken minus tokens.",
            (
                answer_with(waste=lambda blocks, size, lengths: sum(n % size > 0 for n in lengths)),
                answer_with(returns=lambda f: {**f, "wasted": f["wasted"] / (f["blocks"] * f["block_size"])}),
            ),
        ),
        Mistake(
            "the tokens in the last block are counted, not the empty slots.",
            "`length % size` says how many tokens are in the last block. Empty are `-length % size`.",
            answer_with(waste=lambda blocks, size, lengths: sum(n % size for n in lengths)),
        ),
        Mistake(
            "a last block that is full is counted as empty.",
            "`size - length % size` is `size` where nothing is left over. `-length % size` is right there too.",
            answer_with(waste=lambda blocks, size, lengths: sum(size - n % size for n in lengths)),
        ),
        Mistake(
            "the share is taken of the tokens.",
            "The question is which part of the memory is wasted: divide by the slots that are taken, `blocks * size`.",
            answer_with(share=lambda wasted, blocks, size, lengths: wasted / sum(lengths)),
        ),
        Mistake(
            "the share is averaged over requests.",
            "A short request wastes a large share of very little. Add up slots first, and divide once.",
            answer_with(share=mean_of_shares),
        ),
        Mistake(
            "the smallest size is taken.",
            "It wastes least and costs most on the other side. Take the largest that is allowed.",
            answer_with(choose=min),
        ),
        Mistake(
            "the search stops at the first size that wastes too much.",
            "A larger one can fit better. Look at all of them.",
            answer_with(every=False),
        ),
        Mistake(
            "sizes are taken in the order in which they come.",
            "`block_sizes` is not sorted: compare, or sort a copy.",
            (
                answer_with(choose=lambda found, key: found[-1], order=list),
                answer_with(choose=lambda found, key: found[0], order=list),
            ),
        ),
        Mistake(
            "exactly the share that is allowed is refused.",
            "At most means ≤.",
            answer_with(small=lambda share, most: share < most),
        ),
        Mistake(
            "only the size is returned.",
            "A dict with `block_size`, `blocks` and `wasted` is asked for.",
            answer_with(returns=lambda f: f["block_size"]),
        ),
        Mistake(
            "a size is returned though it wastes too much.",
            "Where none is good enough, return None.",
            lambda lengths, sizes, most: page_size(lengths, sizes, most) or page_size(lengths, [min(sizes)], 1.0),
        ),
    ],
    hints=[
        "For one length and one size: how many blocks, rounded up? How many slots are that, and how many of them are "
        "empty?",
        "`blocks = sum(-(-length // size) for length in lengths)`, and `wasted = blocks * size - sum(lengths)`.",
        "The share is `wasted / (blocks * size)`. Go through all sizes, keep those with a share of at most "
        "`most_wasted`, and take the largest. None is left? Return None.",
    ],
    rights=[page_size, page_size_by_request, page_size_by_slots],
    why="Going up through the sorted sizes, the last one that is allowed is the largest. All sizes are looked at, "
    "since waste does not always grow with the size. On average a last block is half empty, so waste is about "
    "block_size / 2 for each request; what falls with the size is the length of the tables.",
)
