"""The exercise 09.intensity: operations, bytes and time of one decode step of a batch."""

from numbers import Real

from course_lib.practice.judge.agreement import EXACT
from course_lib.practice.judge.common_mistakes import NO_DICT, RETURNS_NOTHING, as_python, loses_digits, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .intensity_mistakes import MISTAKES
from .solutions.intensity import intensity


def intensity_by_sequence(model, seq_lens, flops_per_s, bytes_per_s):
    """Adds up sequence by sequence, layer by layer."""
    flops, moved = 0, model["num_weights"] * model["itemsize"]
    for length in seq_lens:
        flops += 2 * model["num_weights"]
        for _ in range(model["num_layers"]):
            for _ in range(model["num_heads"]):
                flops += 2 * length * model["head_dim"] + 2 * length * model["head_dim"]
            moved += length * model["num_kv_heads"] * model["head_dim"] * model["itemsize"] * 2
    arithmetic, memory = flops / flops_per_s, moved / bytes_per_s
    return dict(
        seconds=arithmetic if arithmetic > memory else memory, intensity=flops / moved, bytes=moved, flops=flops
    )


def intensity_by_ridge(model, seq_lens, flops_per_s, bytes_per_s):
    """Finds on which side of the ridge the step is; floats throughout, some of them in tensors."""
    import torch

    w, size = float(model["num_weights"]), float(model["itemsize"])
    wide = model["num_layers"] * model["head_dim"] * torch.tensor(seq_lens, dtype=torch.float64).sum()
    flops, moved = (
        2 * w * len(seq_lens) + 4 * wide * model["num_heads"],
        size * w + 2 * size * wide * model["num_kv_heads"],
    )
    ratio = flops / moved
    seconds = moved / bytes_per_s if ratio < flops_per_s / bytes_per_s else flops / flops_per_s
    return {"flops": flops, "bytes": moved, "intensity": ratio, "seconds": seconds}


SMALL = {"num_weights": 100, "num_layers": 1, "num_heads": 2, "num_kv_heads": 1, "head_dim": 4, "itemsize": 2}
DEEP = {"num_weights": 60, "num_layers": 3, "num_heads": 6, "num_kv_heads": 2, "head_dim": 5, "itemsize": 4}
LLAMA = {
    "num_weights": 7_504_658_432,
    "num_layers": 32,
    "num_heads": 32,
    "num_kv_heads": 8,
    "head_dim": 128,
    "itemsize": 2,
}
"""Llama 3 8B in bfloat16: all matrices that a token is multiplied with. The embedding is only looked up."""
FP8 = {**SMALL, "itemsize": 1}
NAMES = {"small": SMALL, "deep": DEEP, "fp8": FP8, "llama": LLAMA}


def step(name, seq_lens, part=None, flops_per_s=1000, bytes_per_s=100, note=""):
    """The Trial of one decode step. part: the one number that is compared; None: all of them."""
    call = f"intensity({name}, {seq_lens}, {flops_per_s:g}, {bytes_per_s:g})"

    def act(answer):
        got = answer(dict(NAMES[name]), list(seq_lens), flops_per_s, bytes_per_s)
        if part is not None and isinstance(got, dict):
            got = got.get(part, f"there is no {part!r} in it, only {', '.join(map(repr, got))}")
        return as_floats(got)

    return Trial(
        [f"{name} = {NAMES[name]}", call if part is None else f'{call}["{part}"]'],
        act,
        show=written,
        note=note,
        rounding=EXACT,
        size=1000 * len(seq_lens) + sum(seq_lens) + 100 * (list(NAMES).index(name)),
    )


def as_floats(got):
    """Numbers of all types as floats, so that 4 and 4.0 are equal."""
    if isinstance(got, dict):
        return {key: as_floats(value) for key, value in got.items()}
    got = as_python(got)
    return float(got) if isinstance(got, Real) and not isinstance(got, bool) else got


def written(got):
    if isinstance(got, dict):
        return "{" + ", ".join(f"{key!r}: {written(value)}" for key, value in got.items()) + "}"
    if type(got) is not float:
        return repr(got)
    return f"{got:,.0f}" if got == int(got) and abs(got) < 1e15 else f"{got:.6g}"


def untouched(seq_lens):
    def act(answer):
        model, given = dict(SMALL), list(seq_lens)
        answer(model, given, 1000, 100)
        return model == SMALL and given == list(seq_lens)

    story = [
        f"small = {SMALL}",
        f"seq_lens = {seq_lens}",
        "intensity(small, seq_lens, 1000, 100)",
        f"seq_lens == {seq_lens}  # and small as before",
    ]
    return Trial(story, act, size=1000 * len(seq_lens))


ONE, MANY = [[1], [2], [3], [10]], [[1, 1], [1, 3], [2, 2, 5], [4, 1, 7, 7]]
UNTOUCHED = [untouched([3, 1]), untouched([2, 9, 4]), untouched([5])]
# The ridge is at 10, 1, 0.125 or 2 operations per byte: steps on both sides of it.
SIDES = [
    (name, lens, f, b)
    for name, lens in (("small", [1]), ("small", [1] * 4), ("deep", [2, 3]), ("deep", [1] * 6), ("small", [5] * 3))
    for f, b in ((1000, 100), (100, 100), (50, 400), (200, 100))
]

INTENSITY = Exercise(
    id="09.intensity",
    title="Operations for each byte",
    name="intensity",
    cases="steps",
    properties=[
        Property(
            "`flops` of one sequence: two for each weight, and attention over its tokens",
            "Each weight is multiplied once and added once. Each query head takes 2 · head_dim operations for a "
            "score, and as many for a weighted value.",
            [step(name, lens, "flops") for name in ("small", "deep") for lens in ONE],
        ),
        Property(
            "`bytes` of one sequence: every weight, and its keys and values",
            "All layers, keys and values, each KV head, `itemsize` bytes per number.",
            [step(name, lens, "bytes") for name in ("small", "deep", "fp8") for lens in ONE],
        ),
        Property(
            "In a batch every sequence is multiplied with every weight",
            "The number of operations grows with the batch: computation is not shared between sequences.",
            [step(name, lens, "flops") for name in ("small", "deep") for lens in MANY],
        ),
        Property(
            "In a batch the weights are read once, and the cache of each sequence separately",
            "This is what a batch is for: one reading of the weights serves all sequences.",
            [step(name, lens, "bytes") for name in ("small", "deep") for lens in MANY],
        ),
        Property(
            "`intensity` is operations per byte",
            "It says on which side of the roofline's ridge the step is.",
            [step(name, lens, "intensity") for name in ("small", "deep") for lens in (*ONE[:2], *MANY)],
        ),
        Property(
            "`seconds` is the longer of the two times, computing and reading",
            "Both happen at the same time, so the slower one decides.",
            [step(name, lens, "seconds", f, b) for name, lens, f, b in SIDES],
        ),
        Property(
            "A dict of the four numbers is returned",
            "`flops`, `bytes`, `intensity` and `seconds`.",
            [step("small", lens) for lens in ([1], [1, 2], [3, 3, 3])],
        ),
        Property(
            "The same holds at the size of Llama 3 8B on one H200",
            "793 TFLOP/s and 4.37 TB/s, as recorded in lesson 06.",
            [
                step("llama", [length] * batch, None, 793e12, 4.37e12)
                for batch, length in ((1, 1024), (8, 1), (64, 2048), (256, 100), (400, 10), (2, 2**31 - 5))
            ],
        ),
        Property("The caller's data are not changed", "They are used for the next step.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        NO_DICT,
        Mistake(
            "a number has another name.",
            "The caller asks for `flops`, `bytes`, `intensity` and `seconds`.",
            is_made_by=lambda answer, found: str(found.outcome).startswith("there is no "),
        ),
        *MISTAKES,
        Mistake(
            "the caller's data are changed.",
            "Use variables of your own; `model` and `seq_lens` are used for the next step.",
            is_made_by=writes_into(UNTOUCHED),
        ),
        loses_digits(intensity),
    ],
    hints=[
        "Count first, divide last. Operations: what one sequence needs, times the number of sequences, plus "
        "attention over all tokens. Bytes: the weights, once, and the cache of all tokens.",
        "`batch, tokens = len(seq_lens), sum(seq_lens)`. Then `flops = 2 * num_weights * batch + 4 * num_layers * "
        "num_heads * head_dim * tokens`.",
        "`moved = (num_weights + 2 * num_layers * num_kv_heads * head_dim * tokens) * itemsize`: the weights are "
        "not multiplied by `batch`.",
        "`intensity = flops / moved`, and `seconds = max(flops / flops_per_s, moved / bytes_per_s)`.",
    ],
    rights=[intensity, intensity_by_sequence, intensity_by_ridge],
    why="`batch` is a factor of the operations, and no factor of the weights' bytes. While the weights are most of "
    "what is read, twice the batch gives twice the tokens in the same time. The cache has no such advantage: each "
    "sequence reads its own, and for long sequences that becomes the larger part.",
)
