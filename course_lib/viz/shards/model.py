"""The data of a layer on several GPUs: the parts that each holds, what it has after each step, and the bytes sent."""

from course_lib.errors import ParameterError
from course_lib.viz.kit.format import count
from course_lib.viz.kit.inputs import whole

MOST_GPUS = 8
STEPS = ["the vectors", "q, k, v", "attention", "o", "all-reduce", "gate, up", "down", "all-reduce"]
HAS = ["whole", "heads", "heads", "sum", "whole", "mlp", "sum", "whole"]
"""What a GPU has after each step: whole vectors, its part of them, or a partial sum for each place."""
ROWS = [
    {"name": "q", "by": "outputs", "of": "heads", "used": [1]},
    {"name": "k, v", "by": "outputs", "of": "kv", "used": [1]},
    {"name": "KV cache", "by": "heads", "of": "kv", "used": [1, 2]},
    {"name": "o", "by": "inputs", "of": "heads", "used": [3]},
    {"name": "gate, up", "by": "outputs", "of": "mlp", "used": [5]},
    {"name": "down", "by": "inputs", "of": "mlp", "used": [6]},
]
"""The weights, and the cache. by: how they are cut. of: which part of a GPU. used: the steps that use it, from 0."""


def shards_data(num_gpus, hidden_size, num_heads, num_kv_heads, head_dim, intermediate_size, num_tokens, num_bytes):
    """What the browser draws from. Raises ParameterError for sizes that cannot be shared out evenly."""
    n = whole("num_gpus", num_gpus, 1, MOST_GPUS)
    size = {
        "hidden": whole("hidden_size", hidden_size, 1),
        "heads": whole("num_heads", num_heads, 1),
        "kv": whole("num_kv_heads", num_kv_heads, 1),
        "head_dim": whole("head_dim", head_dim, 1),
        "mlp": whole("intermediate_size", intermediate_size, 1),
        "tokens": whole("num_tokens", num_tokens, 1),
        "bytes": whole("bytes_per_number", num_bytes, 1),
    }
    if num_heads % num_kv_heads:
        raise ParameterError(
            f"{num_heads} query heads cannot be shared out evenly over {num_kv_heads} KV heads. "
            "Take num_heads and num_kv_heads from the model's configuration."
        )
    for name, what in (("heads", "query heads"), ("mlp", "numbers inside the MLP")):
        if size[name] % n:
            raise ParameterError(
                f"{n} GPUs cannot share {size[name]:,} {what} evenly. Choose num_gpus among the divisors of both "
                f"{num_heads:,} and {intermediate_size:,}."
            )
    gpus = [_gpu(size, rank, n) for rank in range(n)]
    sent = 2 * (n - 1) * size["tokens"] * size["hidden"] * size["bytes"] // n
    data = {
        "title": f"One layer on {count(n, 'GPU')}",
        "subtitle": f"{count(num_heads, 'query head')}, {count(num_kv_heads, 'KV head')}, "
        f"{size['hidden']:,} numbers a vector, {size['mlp']:,} in the MLP, {count(num_tokens, 'token')}",
        "first": 1,
        "last": len(STEPS),
        "steps": STEPS,
        "has": HAS,
        "parts": ROWS,
        "size": size,
        "gpus": gpus,
        "sent": sent,
        "columns": ["GPU", "works with", "has afterwards", "bytes sent so far"],
    }
    data["say"] = [_words(data, at) for at in range(len(STEPS))]
    data["told"] = [_told(data, rank) for rank in range(n)]
    data["rows"] = [[_row(data, at, rank) for rank in range(n)] for at in range(len(STEPS))]
    return data


def _gpu(size, rank, n):
    """{"heads", "kv", "mlp"}: [from, to) of the query heads, KV heads and numbers of the MLP of a GPU."""
    heads, mlp, group = size["heads"] // n, size["mlp"] // n, size["heads"] // size["kv"]
    first, end = rank * heads, (rank + 1) * heads
    return {
        "heads": [first, end],
        "kv": [first // group, (end - 1) // group + 1],
        "mlp": [rank * mlp, (rank + 1) * mlp],
    }


def span(part, noun):
    """[2, 4], "KV head" -> "KV heads 2 to 3"."""
    first, end = part
    return f"{noun} {first:,}" if end == first + 1 else f"{noun}s {first:,} to {end - 1:,}"


def share(part, size):
    """How much of a whole a part is, in words."""
    return f"{part[1] - part[0]:,} of {size:,}"


def _words(data, at):
    size, gpu, n = data["size"], data["gpus"][0], len(data["gpus"])
    token, hidden, mlp = "a token" if size["tokens"] == 1 else "each token", size["hidden"], gpu["mlp"][1]
    kv = max(one["kv"][1] - one["kv"][0] for one in data["gpus"])
    heads = f"{count(gpu['heads'][1], 'query head')} and {count(kv, 'KV head')}"
    if at in (4, 7):
        text = (
            f"A GPU sends {data['sent']:,} bytes. Then each has the whole sum, and adds it to the vectors from before."
        )
        return [
            ["strong", "All-reduce: "],
            ["", text if n > 1 else "One GPU has the whole sum already, so nothing is sent."],
        ]
    text = {
        0: f"Each GPU has the whole vector of {token}: {hidden:,} numbers.",
        1: f"Each GPU makes its own heads, {heads}, and writes keys and values into its own cache. Nothing is sent.",
        2: "Each query head reads the keys and values of its own KV head, which are in the same GPU. Nothing is sent.",
        3: f"Each GPU has a part of the inputs of o, so it has a partial sum for all {hidden:,} outputs.",
        5: f"Each GPU makes {mlp:,} of the {size['mlp']:,} numbers inside the MLP. Nothing is sent.",
        6: f"Each GPU has a part of the inputs of down, so it has a partial sum for all {hidden:,} outputs.",
    }[at]
    head = STEPS[at][0].upper() + STEPS[at][1:] if at in (0, 2) else STEPS[at]
    return [["strong", f"{head}: "], ["", text]]


def _told(data, rank):
    """A sentence about what one GPU holds."""
    size, gpu = data["size"], data["gpus"][rank]
    heads, kv, mlp = (gpu[name][1] - gpu[name][0] for name in ("heads", "kv", "mlp"))
    weights = size["hidden"] * (2 * (heads + kv) * size["head_dim"] + 3 * mlp)
    cache = 2 * kv * size["head_dim"] * size["bytes"]
    return (
        f"GPU {rank}: {span(gpu['heads'], 'query head')}, {span(gpu['kv'], 'KV head')}, "
        f"{share(gpu['mlp'], size['mlp'])} numbers of the MLP. That is {weights:,} weights of this layer, and "
        f"{cache:,} bytes of its cache for each token."
    )


def _row(data, at, rank):
    size, gpu = data["size"], data["gpus"][rank]
    heads, kv = span(gpu["heads"], "query head"), span(gpu["kv"], "KV head")
    mlp = f"numbers {gpu['mlp'][0]:,} to {gpu['mlp'][1] - 1:,} of the MLP"
    works = ["", f"{heads}, {kv}", f"{heads}, {kv}", heads, "", mlp, mlp, ""][at] or "all"
    has = {"whole": "whole vectors", "heads": heads, "mlp": mlp, "sum": f"a partial sum, {size['hidden']:,} numbers"}
    return [f"GPU {rank}", works, has[HAS[at]], f"{data['sent'] * ((at >= 4) + (at >= 7)):,}"]
