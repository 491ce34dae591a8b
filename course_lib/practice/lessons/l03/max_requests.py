"""Exercise 03.max_requests: how many requests fit on a GPU beside the weights."""

import math

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, rounds_large_numbers
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .bytes_per_token import with_commas
from .solutions.max_requests import max_requests


def max_requests_floor(gpu_bytes, weight_bytes, kv_bytes_per_token, tokens, usable=0.9):
    if gpu_bytes * usable <= weight_bytes:
        return 0
    return math.floor((gpu_bytes * usable - weight_bytes) / kv_bytes_per_token / tokens)


def max_requests_by_slots(gpu_bytes, weight_bytes, kv_bytes_per_token, tokens, usable=0.9):
    """As vLLM counts: first the slots for tokens."""
    slots = int((gpu_bytes * usable - weight_bytes) // kv_bytes_per_token)
    return slots // tokens if slots > 0 else 0


NAMES = ("gpu_bytes", "weight_bytes", "kv_bytes_per_token", "tokens", "usable")


def computed(*values, note="", view=lambda got: got):
    """The Trial that calls max_requests with these values, in the order of NAMES; of four values, without `usable`."""
    call = ", ".join(
        f"{name}={value:_}" if name != "usable" else f"usable={value}" for name, value in zip(NAMES, values)
    )
    return Trial(
        [f"max_requests({call})"], lambda answer: view(answer(*values)), note=note, show=with_commas, size=sum(values)
    )


def kind(*values):
    return computed(*values, view=lambda got: type(got).__name__)


def wrong(
    room=lambda g, w, u: int(g * u) - w,
    per=lambda kv, t: kv * t,
    count=lambda room, per: max(0, room // per),
    share=0.9,
):
    """A wrong answer: the right one with one step replaced."""

    def answer(gpu_bytes, weight_bytes, kv_bytes_per_token, tokens, usable=share):
        return count(room(gpu_bytes, weight_bytes, usable), per(kv_bytes_per_token, tokens))

    return answer


def weights_for_each(g, w, kv, t, u=0.9):
    return int(g * u) // (w + kv * t)


BARE = [
    (8, 0, 1, 2, 1.0),
    (9, 0, 1, 3, 1.0),
    (10, 0, 1, 4, 1.0),
    (11, 0, 2, 3, 1.0),
    (23, 0, 3, 2, 1.0),
    (24, 0, 3, 2, 1.0),
    (5, 0, 3, 2, 1.0),
    (6, 0, 3, 2, 1.0),
    (12, 0, 3, 4, 1.0),
    (7, 0, 7, 1, 1.0),
    (100, 0, 7, 4, 1.0),
]
WEIGHTS = [
    (10, 2, 1, 2, 1.0),
    (20, 8, 2, 3, 1.0),
    (20, 9, 2, 3, 1.0),
    (64, 30, 4, 2, 1.0),
    (64, 33, 4, 2, 1.0),
    (100, 40, 3, 4, 1.0),
]
SHARED = [
    (20, 2, 1, 2, 0.5),
    (40, 4, 2, 3, 0.75),
    (64, 10, 3, 2, 0.5),
    (80, 20, 2, 4, 0.75),
    (96, 24, 4, 3, 0.5),
    (128, 50, 5, 2, 0.75),
    (1000, 900, 1, 5, 0.925),
    (1000, 120, 1, 5, 0.125),
]
USUAL = [(20, 2, 1, 2), (40, 4, 2, 3), (50, 5, 1, 5), (60, 20, 3, 2), (100, 30, 4, 3)]
TIGHT = [
    (10, 10, 1, 2, 1.0),
    (10, 14, 1, 2, 1.0),
    (20, 15, 1, 2, 0.5),
    (20, 25, 2, 3, 1.0),
    (30, 60, 2, 1, 0.5),
    (12, 11, 1, 2, 1.0),
]
REAL = [
    (80 * 10**9, 16_060_522_496, 131_072, 8192),
    (80 * 10**9, 13_476_831_232, 524_288, 4096),
    (24 * 10**9, 16_060_522_496, 131_072, 2048),
    (16 * 10**9, 16_060_522_496, 131_072, 2048),
    (640 * 10**9, 141_107_412_992, 327_680, 131_072),
]
LARGE = [
    computed(2**34 - 1, 0, 131_072, 131_072, 1.0, note="one byte less than a request takes"),
    computed(2**34, 0, 131_072, 131_072, 1.0, note="exactly one request"),
    computed(2**36 - 1, 2**35, 131_072, 131_072, 1.0, note="one byte less than two requests take"),
]

MAX_REQUESTS = Exercise(
    id="03.max_requests",
    title="Requests that fit",
    name="max_requests",
    cases="GPUs",
    properties=[
        Property(
            "It returns a whole number",
            "Only whole requests count.",
            [kind(*case) for case in (BARE[0], BARE[1], WEIGHTS[0], SHARED[0])],
        ),
        Property(
            "Each request needs memory for all its tokens, and only whole requests count",
            "A cache that is one token too small serves one request less.",
            [computed(*case) for case in BARE],
        ),
        Property(
            "The weights are subtracted once",
            "All requests use the same weights.",
            [computed(*case) for case in WEIGHTS],
        ),
        Property(
            "Only the share `usable` of the GPU memory is used",
            "Each step needs memory for its computation. The share is of the whole GPU memory, weights included, as "
            "in vLLM.",
            [computed(*case) for case in SHARED],
        ),
        Property(
            "The default of `usable` is 0.9",
            "A usual value of vLLM's `gpu_memory_utilization`.",
            [computed(*case) for case in USUAL],
        ),
        Property(
            "If the weights leave no memory, it returns 0",
            "A negative number of requests means nothing.",
            [computed(*case) for case in TIGHT],
        ),
        Property(
            "It is right at real sizes",
            "Llama 3 8B and Llama 2 7B on an H100, and others.",
            [computed(*case) for case in REAL] + LARGE,
        ),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        rounds_large_numbers(LARGE),
        Mistake(
            "a request that takes exactly the memory that is left is refused.",
            "It may use the last byte: only where a request needs more than is left, it does not fit.",
            (
                wrong(count=lambda room, per: 0 if room <= per else room // per),
                wrong(count=lambda room, per: max(0, (room - 1) // per)),
            ),
        ),
        Mistake(
            "the number is a float.",
            "`/` gives a float, and so does `//` with a float on one side. Convert the share to whole bytes first, "
            "with `int(…)`.",
            (
                wrong(count=lambda room, per: max(0, room / per)),
                wrong(room=lambda g, w, u: g * u - w),
                wrong(count=lambda room, per: float(max(0, room // per))),
            ),
        ),
        Mistake(
            "the result is rounded up.",
            "Then the last request has only a part of its memory. `//` rounds down.",
            (
                wrong(count=lambda room, per: max(0, -(-room // per))),
                wrong(count=lambda room, per: max(0, room // per + 1)),
            ),
        ),
        Mistake(
            "the result is rounded to the nearest number.",
            "`round` may round up, to a request that does not fit. `//` always rounds down.",
            wrong(count=lambda room, per: max(0, round(room / per))),
        ),
        Mistake(
            "the tokens of a request are not counted.",
            "`kv_bytes_per_token` is for one token; a request has `tokens` tokens.",
            wrong(per=lambda kv, t: kv),
        ),
        Mistake(
            "the weights are not subtracted.",
            "They are on the same GPU: subtract them first.",
            wrong(room=lambda g, w, u: int(g * u)),
        ),
        Mistake(
            "the weights are counted for each request.", "All requests use one copy of the weights.", weights_for_each
        ),
        Mistake(
            "the share is taken after the weights are subtracted.",
            "`usable` is a share of the whole GPU memory: multiply first, then subtract the weights. This leaves less.",
            (wrong(room=lambda g, w, u: int((g - w) * u)),),
        ),
        Mistake(
            "`usable` is not used.",
            "The cache cannot use the whole GPU memory: multiply its bytes by `usable` first.",
            (wrong(room=lambda g, w, u: g - w),),
        ),
        Mistake(
            "the default of `usable` is not 0.9.",
            "Write `usable=0.9` in the first line.",
            (wrong(share=1.0), wrong(share=0.95), wrong(share=0.8)),
        ),
        Mistake(
            "0.9 is used in place of `usable`.",
            "0.9 is only the default: multiply by `usable`.",
            wrong(room=lambda g, w, u: int(g * 0.9) - w),
        ),
        Mistake(
            "a negative number is returned.",
            "If the weights are larger than the usable memory, no request fits: `max(0, …)`.",
            wrong(count=lambda room, per: room // per),
        ),
        Mistake(
            "at least one request is promised.",
            "Where not even one whole request fits, the answer is 0.",
            wrong(count=lambda room, per: max(1, room // per)),
        ),
        Mistake(
            "the sign is lost.",
            "If the weights are larger than the usable memory, no request fits. `abs` makes the missing bytes look "
            "like free ones.",
            wrong(count=lambda room, per: abs(room) // per),
        ),
    ],
    hints=[
        "How many bytes can the cache use? Multiply by the share first, then subtract the weights.",
        "`room = int(gpu_bytes * usable) - weight_bytes`. One request takes `kv_bytes_per_token * tokens`.",
        "`room // request` counts whole requests. What does it give if the weights are larger than the usable memory?",
        "`return max(0, room // (kv_bytes_per_token * tokens))`.",
    ],
    rights=[max_requests, max_requests_floor, max_requests_by_slots],
    why="The share is of the whole GPU memory, so the multiplication comes before the weights are subtracted. `//` "
    "rounds down, so only whole requests count, and `max` with 0 covers a model that is too large. vLLM plans in the "
    "same way, with blocks of tokens in place of whole requests.",
)
