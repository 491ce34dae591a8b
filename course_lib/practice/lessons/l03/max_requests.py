"""Cases of 03.max_requests."""

import math

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .bytes_per_token import with_commas
from .solutions.max_requests import max_requests


def max_requests_floor(gpu_bytes, weight_bytes, kv_bytes_per_token, tokens, usable=0.9):
    if gpu_bytes * usable <= weight_bytes:
        return 0
    return math.floor((gpu_bytes * usable - weight_bytes) / kv_bytes_per_token / tokens)


def max_requests_by_slots(gpu_bytes, weight_bytes, kv_bytes_per_token, tokens, usable=0.9):
    """As vLLM counts: slots for tokens first."""
    slots = int((gpu_bytes * usable - weight_bytes) // kv_bytes_per_token)
    return slots // tokens if slots > 0 else 0


NAMES = ("gpu_bytes", "weight_bytes", "kv_bytes_per_token", "tokens", "usable")


def asked(*values, note="", look=lambda got: got):
    """The Trial that calls with these values, in the order of NAMES; without the last, `usable` is left out."""
    call = ", ".join(
        f"{name}={value:_}" if name != "usable" else f"usable={value}" for name, value in zip(NAMES, values)
    )
    return Trial(
        [f"max_requests({call})"], lambda answer: look(answer(*values)), note=note, show=with_commas, size=sum(values)
    )


def kind(*values):
    return asked(*values, look=lambda got: type(got).__name__)


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

MAX_REQUESTS = Exercise(
    id="03.max_requests",
    title="Requests that fit",
    name="max_requests",
    cases="GPUs",
    properties=[
        Property(
            "A whole number comes back",
            "There is no half of a request.",
            [kind(*case) for case in (BARE[0], BARE[1], WEIGHTS[0], SHARED[0])],
        ),
        Property(
            "A request takes all its tokens, and only whole requests count",
            "A cache that is one token too small serves one request less.",
            [asked(*case) for case in BARE],
        ),
        Property(
            "The weights are there first, once",
            "All requests read the same weights.",
            [asked(*case) for case in WEIGHTS],
        ),
        Property(
            "Only the share `usable` of the GPU is given out",
            "Each step needs room to compute in. The share is one of the whole GPU, weights included, as in vLLM.",
            [asked(*case) for case in SHARED],
        ),
        Property(
            "Without `usable` it is 0.9",
            "The default of vLLM's `gpu_memory_utilization`.",
            [asked(*case) for case in USUAL],
        ),
        Property(
            "Where the weights leave no room, it is 0",
            "A negative number of requests means nothing.",
            [asked(*case) for case in TIGHT],
        ),
        Property(
            "It holds at real sizes",
            "Llama 3 8B and Llama 2 7B on an H100, and others.",
            [asked(*case) for case in REAL],
        ),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the number is a float.",
            "`/`, and `//` with a float on one side, give floats. `int(…)` makes whole bytes of the share first.",
            (
                wrong(count=lambda room, per: max(0, room / per)),
                wrong(room=lambda g, w, u: g * u - w),
                wrong(count=lambda room, per: float(max(0, room // per))),
            ),
        ),
        Mistake(
            "it rounds up.",
            "The last request would have only a part of its memory. `//` rounds down.",
            (
                wrong(count=lambda room, per: max(0, -(-room // per))),
                wrong(count=lambda room, per: max(0, room // per + 1)),
            ),
        ),
        Mistake(
            "it rounds to the nearest.",
            "`round` may go up, to a request that does not fit. `//` always goes down.",
            wrong(count=lambda room, per: max(0, round(room / per))),
        ),
        Mistake(
            "the tokens of a request are forgotten.",
            "`kv_bytes_per_token` is for one token; a request keeps `tokens` of them.",
            wrong(per=lambda kv, t: kv),
        ),
        Mistake(
            "the weights are forgotten.",
            "They lie on the same GPU: subtract them before anything is given out.",
            wrong(room=lambda g, w, u: int(g * u)),
        ),
        Mistake(
            "the weights are counted for each request.",
            "All requests are served by one copy of the weights.",
            weights_for_each,
        ),
        Mistake(
            "the share is taken of what the weights leave.",
            "`usable` is a share of the whole GPU: first the share, then minus the weights, which leaves less.",
            (wrong(room=lambda g, w, u: int((g - w) * u)),),
        ),
        Mistake(
            "`usable` is not used.",
            "The whole GPU cannot be given out: multiply its bytes by `usable` first.",
            (wrong(room=lambda g, w, u: g - w),),
        ),
        Mistake(
            "another default share than 0.9 is used.",
            "In the first line: `usable=0.9`.",
            (wrong(share=1.0), wrong(share=0.95), wrong(share=0.8)),
        ),
        Mistake(
            "`usable` is taken to be 0.9 always.",
            "0.9 is only what holds when nothing is said: multiply by `usable`.",
            wrong(room=lambda g, w, u: int(g * 0.9) - w),
        ),
        Mistake(
            "a negative number comes out.",
            "Where the weights are larger than the room, no request fits: `max(0, …)`.",
            wrong(count=lambda room, per: room // per),
        ),
        Mistake(
            "the sign is lost.",
            "Where the weights are larger than the room, no request fits. `abs` makes room of a lack of it.",
            wrong(count=lambda room, per: abs(room) // per),
        ),
    ],
    hints=[
        "How many bytes may be given out at all? Take the share first, then what is on the GPU already.",
        "`room = int(gpu_bytes * usable) - weight_bytes`. And one request takes `kv_bytes_per_token * tokens`.",
        "`room // request` counts whole requests. What does it give when the weights are larger than the room?",
        "`return max(0, room // (kv_bytes_per_token * tokens))`.",
    ],
    rights=[max_requests, max_requests_floor, max_requests_by_slots],
    why="The share is one of the whole GPU, so it comes before the weights are subtracted. `//` rounds down, to "
    "requests that fit whole, and `max` with 0 covers a model that is too large. vLLM plans in the same way, with "
    "blocks of tokens in place of whole requests.",
)
