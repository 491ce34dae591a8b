"""The exercise 17.shard: which rows or columns of a weight a rank holds."""

import torch

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .shard_mistakes import MISTAKES
from .solutions.shard import shard


def shard_by_index(name, weight, rank, num_ranks, head_dim):
    """Says which indices of which dimension are held."""
    part = name.split(".")[-2]
    if part == "o_proj" and name.endswith("bias"):
        return weight if rank == 0 else weight * 0
    dim = {"o_proj": 1, "down_proj": 1}.get(part, 0)
    size = weight.shape[dim]
    if part in ("k_proj", "v_proj"):
        heads = size // head_dim
        own = range(heads)[rank * heads // num_ranks :][: max(1, heads // num_ranks)]
        index = [head * head_dim + i for head in own for i in range(head_dim)]
    elif part in ("q_proj", "gate_proj", "up_proj", "o_proj", "down_proj"):
        index = [i for i in range(size) if i * num_ranks // size == rank]
    elif part in ("embed_tokens", "lm_head"):
        each = (size + num_ranks - 1) // num_ranks
        index = [i for i in range(size) if i // each == rank]
    else:
        return weight
    return weight.index_select(dim, torch.tensor(index, dtype=torch.long))


def shard_by_narrow(name, weight, rank, num_ranks, head_dim):
    """Start and length of the part, then one copy."""
    if any(one in name for one in ("o_proj.weight", "down_proj")):
        each = weight.size(1) // num_ranks
        return weight.narrow(1, rank * each, each).contiguous().clone()
    if "o_proj" in name:
        return weight.clone().mul_(rank == 0)
    if any(one in name for one in ("k_proj", "v_proj")):
        heads = weight.unflatten(0, (-1, head_dim))
        if len(heads) < num_ranks:
            return heads[rank // (num_ranks // len(heads))].clone()
        return torch.stack(heads.chunk(num_ranks)[rank].unbind()).flatten(0, 1)
    if any(one in name for one in ("q_proj", "gate_proj", "up_proj", "embed_tokens", "lm_head")):
        each = -(-len(weight) // num_ranks)
        start = min(rank * each, len(weight))
        return weight.narrow(0, start, min(each, len(weight) - start)).clone()
    return weight.clone()


def shard_by_split(name, weight, rank, num_ranks, head_dim):
    """Lists of parts for all ranks, of which one is taken."""
    kind = next((one for one in ("norm", "o_proj.bias", "o_proj", "down", "k_proj", "v_proj") if one in name), "rows")
    if kind == "norm":
        return weight
    if kind == "o_proj.bias":
        return torch.where(torch.tensor(rank == 0), weight, torch.zeros((), dtype=weight.dtype))
    if kind in ("o_proj", "down"):
        return weight.tensor_split(num_ranks, 1)[rank].clone()
    if kind != "rows":
        parts = weight.split(head_dim)
        parts = [part for part in parts for _ in range(max(1, num_ranks // len(parts)))]
        return torch.cat(parts[rank * len(parts) // num_ranks : (rank + 1) * len(parts) // num_ranks])
    rows = [*weight.split(-(-len(weight) // num_ranks)), *[weight[:0]] * num_ranks]
    return rows[rank].clone()


ATTENTION, MLP = "model.layers.0.self_attn.", "model.layers.0.mlp."
NAMES = {
    **{one: f"{ATTENTION}{one}_proj.weight" for one in "qkvo"},
    **{f"{one}_bias": f"{ATTENTION}{one}_proj.bias" for one in "qkvo"},
    **{one: f"{MLP}{one}_proj.weight" for one in ("gate", "up", "down")},
    "embed": "model.embed_tokens.weight",
    "head": "lm_head.weight",
    "norm": "model.layers.0.input_layernorm.weight",
    "after": "model.layers.0.post_attention_layernorm.weight",
    "last": "model.norm.weight",
    "q_norm": f"{ATTENTION}q_norm.weight",
    "k_norm": f"{ATTENTION}k_norm.weight",
}


def numbered(shape, dtype=torch.float32):
    """A tensor of this shape that holds 1, 2, 3, …"""
    count = 1
    for size in shape:
        count *= size
    return torch.arange(1, count + 1, dtype=dtype).reshape(shape)


def typed(shape, dtype=torch.float32):
    count = numbered(shape).numel()
    return f"torch.arange(1, {count + 1}, dtype={dtype}).reshape({', '.join(map(str, shape))})"


def whole_numbers(got):
    """A tensor as lists of ints, which are the same on every processor; anything else as it is."""
    return got.long().tolist() if isinstance(got, torch.Tensor) else got


def call(which, shape, rank, num_ranks, head_dim, look, end, dtype=torch.float32, note=""):
    """The Trial of one part. look(part): what is compared; end: the line that shows it."""

    def act(answer):
        return look(answer(NAMES[which], numbered(shape, dtype), rank, num_ranks, head_dim))

    story = [
        f"weight = {typed(shape, dtype)}",
        f'part = shard("{NAMES[which]}", weight, {rank}, {num_ranks}, {head_dim})',
        end,
    ]
    return Trial(story, act, note=note, size=numbered(shape).numel())


def part(which, shape, rank, num_ranks, head_dim=2, note=""):
    return call(which, shape, rank, num_ranks, head_dim, whole_numbers, "part.long().tolist()", note=note)


def parts(which, shape, num_ranks, head_dim=2, note=""):
    """The Trials of all ranks."""
    return [part(which, shape, rank, num_ranks, head_dim, note) for rank in range(num_ranks)]


def shape_of(which, shape, rank, num_ranks, note=""):
    return call(which, shape, rank, num_ranks, 2, lambda got: list(got.shape), "list(part.shape)", note=note)


def memory_of(which, shape, rank, num_ranks):
    return call(
        which, shape, rank, num_ranks, 2, lambda got: got.untyped_storage().nbytes(),
        "part.untyped_storage().nbytes()", note="no more than the part itself",
    )  # fmt: skip


def dtype_of(which, shape, dtype):
    return call(which, shape, 1, 2, 2, lambda got: str(got.dtype), "str(part.dtype)", dtype=dtype)


def untouched(which, shape, rank, num_ranks=2):
    """The Trial of the weight after the call, and after the part was changed where it is a part."""
    is_cut = "norm" not in which and (which, rank) != ("o_bias", 0)  # what is not cut may be the weight itself

    def act(answer):
        weight = numbered(shape)
        got = answer(NAMES[which], weight, rank, num_ranks, 2)
        if is_cut:
            got.zero_()
        return whole_numbers(weight)

    story = [
        f"weight = {typed(shape)}",
        f'part = shard("{NAMES[which]}", weight, {rank}, {num_ranks}, 2)',
        *(["part.zero_()"] if is_cut else []),
        "weight.long().tolist()",
    ]
    return Trial(story, act, note="as before", size=numbered(shape).numel())


UNTOUCHED = [
    *(untouched("o_bias", (4,), rank) for rank in (0, 1)),
    *(untouched(which, shape, 1) for which, shape in (("norm", (4,)), ("gate", (4, 2)), ("o", (2, 4)))),
]
MEMORY = [memory_of(*case) for case in (
    ("gate", (4, 2), 0, 2), ("q", (4, 2), 1, 2), ("k", (4, 2), 1, 2), ("o", (2, 4), 0, 2), ("down", (2, 4), 1, 2),
    ("embed", (4, 2), 1, 2), ("q_bias", (4,), 0, 2), ("k", (4, 2), 1, 4), ("v", (4, 1), 5, 8), ("head", (5, 2), 1, 2),
    ("k_bias", (4,), 1, 4))]  # fmt: skip

SHARD = Exercise(
    id="17.shard",
    title="What a rank holds of a weight",
    name="shard",
    properties=[
        Property(
            "`gate_proj` and `up_proj` are cut into rows",
            "A row makes one output. Each rank makes its own part of the vector inside the MLP, and no other.",
            [*parts("gate", (2, 2), 2), *parts("up", (4, 2), 2), *parts("gate", (6, 3), 3), part("up", (4, 4), 3, 4)],
        ),
        Property(
            "`o_proj` and `down_proj` are cut into columns",
            "A column belongs to one input, and a rank has only its own inputs: the outputs of its rows before.",
            [
                *parts("down", (2, 2), 2),
                *parts("o", (2, 4), 2, 1),
                *parts("down", (3, 6), 3),
                part("o", (4, 8), 3, 4, 1),
            ],
        ),
        Property(
            "`q_proj` is cut into the rows of its heads",
            "Attention needs nothing but its own head.",
            [
                *parts("q", (4, 3), 2),
                *parts("q", (8, 1), 2, note="two query heads for each rank"),
                *parts("q", (12, 1), 3, note="two query heads for each rank"),
                *parts("q", (6, 2), 3),
                *parts("q", (4, 2), 4, 1),
            ],
        ),
        Property(
            "`k_proj` and `v_proj` are cut into whole heads; with too few of them, ranks in a row hold the same one",
            "A cut inside a head would leave a rank with half of a key.",
            [
                *parts("k", (4, 1), 2),
                *parts("v", (8, 1), 2),
                *parts("k", (2, 2), 2, note="one KV head for two ranks"),
                *parts("v", (4, 1), 4, note="two KV heads for four ranks"),
                *parts("k", (4, 1), 2, 4, note="one KV head of 4 rows"),
                *parts("v", (6, 1), 6, note="three KV heads for six ranks"),
            ],
        ),
        Property(
            "Biases of q, k and v are cut as their rows; that of `o_proj` is on rank 0, and zeros elsewhere",
            "A number of a bias belongs to a row of the weight. The outputs of `o_proj` of all ranks are added up, so "
            "its bias on each of them would be added N times.",
            [
                *parts("q_bias", (4,), 2),
                *parts("k_bias", (2,), 2),
                *parts("v_bias", (4,), 4),
                *parts("o_bias", (2,), 2),
                *parts("o_bias", (3,), 3),
            ],
        ),
        Property(
            "The vocabulary is cut into rows: rounded up for each, and what is left for the last",
            "The number of tokens seldom divides evenly.",
            [
                *parts("embed", (4, 2), 2),
                *parts("head", (5, 1), 2),
                *parts("embed", (7, 1), 3),
                *parts("head", (10, 1), 4),
                shape_of("embed", (4, 3), 2, 3, note="none are left: 2, 2 and 0 rows"),
                shape_of("head", (3, 2), 3, 4),
                shape_of("embed", (5, 2), 3, 4, note="2, 2, 1 and 0 rows"),
            ],
        ),
        Property(
            "Norms are held whole by each rank",
            "Each rank normalises the whole vector. `q_norm` and `k_norm` are for one head, and all heads share them.",
            [
                *parts("norm", (4,), 2),
                part("after", (4,), 1, 2),
                part("last", (4,), 1, 2),
                *parts("q_norm", (2,), 2),
                part("k_norm", (2,), 1, 2),
            ],
        ),
        Property(
            "One rank holds everything",
            "Without other ranks nothing is cut.",
            [part(which, (4, 4), 0, 1) for which in ("q", "k", "o", "down", "embed")] + [part("o_bias", (4,), 0, 1)],
        ),
        Property(
            "The dtype stays",
            "Weights come in 16 bits.",
            [dtype_of(which, (4, 4), torch.bfloat16) for which in ("gate", "down", "v", "embed")]
            + [dtype_of("o_bias", (4,), dtype) for dtype in (torch.bfloat16, torch.float16, torch.float64)]
            + [dtype_of("head", (1, 4), torch.bfloat16)],
        ),  # fmt: skip
        Property(
            "A part has memory of its own",
            "A view keeps the whole weight in memory, however small it is. So each rank would hold the whole model.",
            MEMORY,
        ),
        Property("The weight that was given is not changed", "The caller cuts it for the next rank.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the weight that was given is changed.",
            "Zeros for the other ranks are a new tensor, `torch.zeros_like(weight)`.",
            is_made_by=writes_into(UNTOUCHED),
        ),
        Mistake(
            "the part is a view.",
            "`weight[a:b]`, `narrow` and `chunk` share the memory of the whole weight, and `.contiguous()` copies "
            "nothing where rows are cut. `.clone()` does.",
            is_made_by=writes_into(MEMORY),
        ),
        *MISTAKES,
    ],
    hints=[
        "Go through the table from the special names to the rest: first `norm`, then `o_proj.bias`, then the columns "
        "(`o_proj`, `down_proj`), then rows.",
        "Columns: `size = weight.shape[1] // num_ranks`, then `weight[:, rank * size : (rank + 1) * size].clone()`.",
        "Rows: the same with `weight.shape[0]`, where the size is rounded up: `-(-weight.shape[0] // num_ranks)`. A "
        "slice that goes beyond the end is shorter, or empty.",
        "KV heads: `num_heads = weight.shape[0] // head_dim`. The first one of a rank is `rank * num_heads // "
        "num_ranks`, and it holds `max(1, num_heads // num_ranks)` of them. Times `head_dim` these are rows.",
    ],
    rights=[shard, shard_by_index, shard_by_narrow, shard_by_split],
    why="Rows and columns here are those of the tensor in the checkpoint. Papers write x W with W of [inputs, "
    "outputs], and call the cut by outputs column-parallel: in PyTorch those are rows.",
)
