"""Trials of 04.gather: pools in which every number says where it is."""

import torch

from course_lib.practice.judge.exercise import Trial
from course_lib.practice.report.tensors import numbers


def numbered_pool(num_blocks, block_size, heads, head_dim):
    """k and v, each [num_blocks, block_size, heads, head_dim]: k counts 1, 2, 3, … in memory order, v is -k."""
    k = (
        torch.arange(num_blocks * block_size * heads * head_dim, dtype=torch.float32).view(
            num_blocks, block_size, heads, head_dim
        )
        + 1
    )
    return k, -k


def kept_in(dtype, table, num_tokens):
    """The Trial of one sequence in a pool of this dtype, in which all that is not its own is nan."""

    def act(answer):
        pools = [x.to(dtype) for x in numbered_pool(6, 2, 1, 2)]
        fill_others(pools, table)
        got = answer(*pools, torch.tensor(table), num_tokens)
        return [(list(x.shape), str(x.dtype), x.double().flatten().tolist()) for x in got]

    lines = [
        "from course_lib.practice.play import numbered_pool",
        f"k_cache, v_cache = (x.to({dtype}) for x in numbered_pool(6, 2, 1, 2))",
        f"others = {[b for b in range(6) if b not in table]}",
        'k_cache[others] = v_cache[others] = float("nan")',
        f"k, v = gather(k_cache, v_cache, torch.tensor({table}), {num_tokens})",
        "[(list(x.shape), x.dtype, x.tolist()) for x in (k, v)]",
    ]
    return Trial(lines, act, size=100 * num_tokens)


def gathered(shape, table, num_tokens, note=""):
    """The Trial of one sequence in a pool of this shape."""
    lines = [
        "from course_lib.practice.play import numbered_pool",
        "# blocks, slots a block, heads, head_dim; k is 1, 2, 3, … and v is -1, -2, -3, …",
        f"k_cache, v_cache = numbered_pool{shape}",
        f"k, v = gather(k_cache, v_cache, torch.tensor({table}), {num_tokens})",
    ]

    def act(answer):
        got = answer(*numbered_pool(*shape), torch.tensor(table), num_tokens)
        return list(got) if isinstance(got, (tuple, list)) else got

    return Trial(
        lines,
        act,
        show=shown,
        explain=explain,
        note=note,
        size=100 * num_tokens * shape[2] * shape[3] + 10 * len(table) + shape[0] + shape[1],
    )


def fill_others(pools, table):
    """Writes nan into all blocks that are not in the table."""
    for x in pools:
        x[[b for b in range(len(x)) if b not in table]] = float("nan")


def untouched(shape, table, num_tokens, nan=False):
    """The Trial of whether the pool and the table are the same after the call. nan: all other blocks hold nan."""

    def act(answer):
        given = (*numbered_pool(*shape), torch.tensor(table))
        if nan:
            fill_others(given[:2], table)
        before = [t.clone() for t in given]
        answer(*given, num_tokens)
        return all(bool(((a == b) | (a.isnan() & b.isnan())).all()) for a, b in zip(before, given))

    base = gathered(shape, table, num_tokens)
    return Trial(
        [
            f"# are the pool and the table the same after the call?  shape {shape}, table {table}"
            + ", nan in all other blocks" * nan,
            *base.story,
        ],
        act,
        size=base.size,
    )


def every_bit(table, num_tokens):
    """The Trial of whether each number is exactly the one of the pool: 1/3, 2/3, … have no few digits."""

    def act(answer):
        pools = [x / 3 for x in numbered_pool(6, 2, 1, 2)]
        got = answer(*pools, torch.tensor(table), num_tokens)
        places = [(table[i // 2], i % 2) for i in range(num_tokens)]
        return [torch.equal(x, torch.stack([pool[place] for place in places])) for x, pool in zip(got, pools)]

    lines = [
        "from course_lib.practice.play import numbered_pool",
        "k_cache, v_cache = (x / 3 for x in numbered_pool(6, 2, 1, 2))",
        f"k, v = gather(k_cache, v_cache, torch.tensor({table}), {num_tokens})",
        f"# is each number exactly that of the pool? token 0 is k_cache[{table[0]}, 0], and so on",
    ]
    return Trial(lines, act, size=100 * num_tokens, note="k, v")


def firsts(x):
    """The first number of each of the first 8 tokens, in a short form."""
    return numbers(x.reshape(len(x), -1)[:8, 0]) if x.ndim and len(x) else []


def shown(outcome):
    """k and v written out, or their shapes and first numbers."""
    if isinstance(outcome, list) and len(outcome) == 2 and all(isinstance(x, torch.Tensor) for x in outcome):
        if max(x.numel() for x in outcome) <= 16:
            return "\n".join(f"{name} = {numbers(x)}" for name, x in zip("kv", outcome))
        return "\n".join(
            f"{name}: {list(x.shape)}, the first number of each token {firsts(x)}" for name, x in zip("kv", outcome)
        )
    return repr(outcome)


def explain(expected, got):
    """The shape that is wrong, or the first token that differs, in words."""
    if not isinstance(got, list) or len(got) != 2:
        return "Return two tensors: k and v."
    for name, a, b in zip("kv", expected, got):
        if not isinstance(b, torch.Tensor):
            return f"`{name}` is {type(b).__name__}; it must be a tensor."
        if a.shape != b.shape:
            return f"`{name}` has the shape {list(b.shape)}; [num_tokens, num_kv_heads, head_dim] is {list(a.shape)}."
        if not a.equal(b):
            token = (a != b).reshape(len(a), -1).any(1).nonzero()[0].item()
            return f"The first difference: token {token} of `{name}`."
    return ""


def stays(shape, table, num_tokens):
    """The Trial of the result after the pool was written again, as the next step does."""

    def act(answer):
        pools = numbered_pool(*shape)
        got = answer(*pools, torch.tensor(table), num_tokens)
        for x in pools:
            x.zero_()
        return list(got) if isinstance(got, (tuple, list)) else got

    base = gathered(shape, table, num_tokens)
    lines = [*base.story, "k_cache.zero_(), v_cache.zero_()", "k, v"]
    return Trial(lines, act, show=shown, explain=explain, size=base.size)
