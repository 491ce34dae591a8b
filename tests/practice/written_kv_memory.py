"""Wrong answers to lesson 03."""

import math


def bytes_usual(shape, bits):
    """As in many blog posts."""
    return int(2 * shape.num_layers * shape.num_heads * shape.head_dim * bits / 8)


def bytes_keys(shape, bits):
    if shape.kv_lora_rank:
        return (shape.kv_lora_rank + shape.qk_rope_head_dim) * shape.num_layers * bits // 8
    keys = shape.num_kv_heads * shape.head_dim * shape.num_layers
    return keys * bits // 8


def bytes_in_bits(shape, bits):
    numbers = 2 * shape.num_kv_heads * shape.head_dim
    if shape.kv_lora_rank:
        numbers = shape.kv_lora_rank + shape.qk_rope_head_dim
    return shape.num_layers * numbers * bits


def bytes_half(shape, bits):
    numbers = (
        2 * shape.num_kv_heads * shape.head_dim
        if not shape.kv_lora_rank
        else shape.kv_lora_rank + shape.qk_rope_head_dim
    )
    return {32: 4, 16: 2, 8: 1, 4: 0}[bits] * numbers * shape.num_layers


def bytes_as_gqa(shape, bits):
    return shape.num_layers * sum(shape.head_dim * bits for _ in range(2 * shape.num_kv_heads)) // 8


def bytes_latent_both(shape, bits):
    numbers = shape.num_kv_heads * shape.head_dim
    if shape.kv_lora_rank is not None:
        numbers = shape.kv_lora_rank + shape.qk_rope_head_dim
    return 2 * shape.num_layers * numbers * bits // 8


def bytes_without_rope(shape, bits):
    width = shape.kv_lora_rank or 2 * shape.num_kv_heads * shape.head_dim
    return shape.num_layers * width * bits // 8


def bytes_of_a_request(shape, bits):
    return 2048 * 2 * shape.num_layers * shape.num_kv_heads * shape.head_dim * bits // 8


def bytes_shown(shape, bits):
    print(2 * shape.num_layers * shape.num_kv_heads * shape.head_dim * bits // 8)


def fit_ceil(gpu_bytes, weight_bytes, kv_bytes_per_token, tokens, usable=0.9):
    left = gpu_bytes * usable - weight_bytes
    return max(0, math.ceil(left / (kv_bytes_per_token * tokens)))


def fit_share_last(gpu_bytes, weight_bytes, kv_bytes_per_token, tokens, usable=0.9):
    left = gpu_bytes - weight_bytes
    return max(int(left * usable) // (kv_bytes_per_token * tokens), 0)


def fit_all_of_it(gpu_bytes, weight_bytes, kv_bytes_per_token, tokens, usable=0.9):
    if weight_bytes > gpu_bytes:
        return 0
    return (gpu_bytes - weight_bytes) // (tokens * kv_bytes_per_token)


def fit_negative(gpu_bytes, weight_bytes, kv_bytes_per_token, tokens, usable=0.9):
    return int((gpu_bytes * usable - weight_bytes) // (kv_bytes_per_token * tokens))


def fit_no_weights(gpu_bytes, weight_bytes, kv_bytes_per_token, tokens, usable=0.9):
    return math.floor(gpu_bytes * usable / (kv_bytes_per_token * tokens))


def fit_tokens_only(gpu_bytes, weight_bytes, kv_bytes_per_token, tokens, usable=0.9):
    return max(0, int(gpu_bytes * usable - weight_bytes) // kv_bytes_per_token)


def fit_float(gpu_bytes, weight_bytes, kv_bytes_per_token, tokens, usable=0.9):
    return max(0.0, (gpu_bytes * usable - weight_bytes) // (kv_bytes_per_token * tokens))


def fit_half(gpu_bytes, weight_bytes, kv_bytes_per_token, tokens, usable=0.9):
    return max(0, int(gpu_bytes * usable) - weight_bytes) // (kv_bytes_per_token * tokens) // 2


def parts_with(holes):
    """An answer whose holes come from `holes(capacity, segments)`."""

    def answer(capacity, segments, needed):
        out = dict.fromkeys(("used", "reserved", "internal", "external", "free"), 0)
        for s in segments:
            out["used"] += s["used"]
            out["reserved"] += s["final"] - s["used"]
            out["internal"] += s["reserved"] - s["final"]
        for hole in holes(capacity, segments):
            out["free" if hole >= needed else "external"] += hole
        return out

    return answer


def parts_together(capacity, segments, needed):
    out = parts_with(lambda c, segs: [])(capacity, segments, needed)
    left = capacity - sum(s["reserved"] for s in segments)
    out["external" if left < needed else "free"] = left
    return out


def parts_two_names(capacity, segments, needed):
    """Counts every reserved slot that is not used as `reserved`."""
    out = parts_with(lambda c, segs: [b - a for a, b in gaps(c, segs)])(capacity, segments, needed)
    return {**out, "reserved": out["reserved"] + out["internal"], "internal": 0}


def gaps(capacity, segments):
    edges = [(s["start"], s["start"] + s["reserved"]) for s in segments]
    return list(zip([0, *(end for _, end in edges)], [*(start for start, _ in edges), capacity]))


def parts_between_only(capacity, segments, needed):
    return parts_with(lambda c, segs: [b - a for a, b in gaps(c, segs)[1:-1]])(capacity, segments, needed)


def parts_all_external(capacity, segments, needed):
    out = parts_with(lambda c, segs: [])(capacity, segments, needed)
    return {**out, "external": capacity - out["used"] - out["reserved"] - out["internal"]}


def parts_too_strict(capacity, segments, needed):
    return parts_with(lambda c, segs: [b - a for a, b in gaps(c, segs)])(capacity, segments, needed + (needed > 0))


def parts_per_cent(capacity, segments, needed):
    out = parts_with(lambda c, segs: [b - a for a, b in gaps(c, segs)])(capacity, segments, needed)
    return {name: slots / capacity for name, slots in out.items()}


def parts_pops(capacity, segments, needed):
    out = parts_with(lambda c, segs: [b - a for a, b in gaps(c, segs)])(capacity, segments, needed)
    segments.clear()
    return out


def plan_strict(budget, kv_bytes_per_token, users, tokens):
    for dtype in kv_bytes_per_token:
        if kv_bytes_per_token[dtype] * users * tokens < budget:
            return dtype, users, tokens
    smallest = min(kv_bytes_per_token, key=kv_bytes_per_token.get)
    size = kv_bytes_per_token[smallest]
    if size * tokens < budget:
        return smallest, budget // (size * tokens), tokens
    return (smallest, 1, budget // size) if size < budget else None


def plan_smallest(budget, kv_bytes_per_token, users, tokens):
    dtype = min(kv_bytes_per_token, key=kv_bytes_per_token.get)
    most = budget // kv_bytes_per_token[dtype]
    if most == 0:
        return None
    return dtype, min(users, max(1, most // tokens)), min(tokens, most)


def plan_returns_early(budget, kv_bytes_per_token, users, tokens):
    for dtype, size in kv_bytes_per_token.items():
        most = budget // size
        if most >= users * tokens:
            return dtype, users, tokens
        if most >= tokens:
            return dtype, most // tokens, tokens
        if most:
            return dtype, 1, most
        return None


def plan_cuts_sequences(budget, kv_bytes_per_token, users, tokens):
    for dtype, size in kv_bytes_per_token.items():
        if users * tokens * size <= budget:
            return dtype, users, tokens
    each = budget // size // users
    return (dtype, users, each) if each else (dtype, budget // size, 1) if budget >= size else None


def plan_all_or_none(budget, kv_bytes_per_token, users, tokens):
    for dtype, size in kv_bytes_per_token.items():
        if users * tokens * size <= budget:
            return dtype, users, tokens


def plan_no_user(budget, kv_bytes_per_token, users, tokens):
    for dtype, size in kv_bytes_per_token.items():
        if users * tokens * size <= budget:
            return dtype, users, tokens
    served = budget // (tokens * size)
    return (dtype, served, tokens) if served else None


def plan_thrifty(budget, kv_bytes_per_token, users, tokens):
    """Leaves a tenth of the budget unused."""
    for dtype, size in kv_bytes_per_token.items():
        if users * tokens * size <= budget * 0.9:
            return dtype, users, tokens
    return None if size > budget else (dtype, max(1, budget // (tokens * size)), min(tokens, budget // size))


def plan_shows(budget, kv_bytes_per_token, users, tokens):
    print(list(kv_bytes_per_token)[0], users, tokens)


def plan_forgets(budget, kv_bytes_per_token, users, tokens):
    for dtype, size in kv_bytes_per_token.items():
        if users * tokens * size <= budget:
            (dtype, users, tokens)


def bytes_whole_each(shape, bits):
    width = 2 * shape.num_kv_heads * shape.head_dim
    if shape.kv_lora_rank:
        width = shape.kv_lora_rank + shape.qk_rope_head_dim
    return shape.num_layers * width * math.ceil(bits / 8)


def plan_truth(budget, kv_bytes_per_token, users, tokens):
    for dtype, size in kv_bytes_per_token.items():
        if users * tokens * size <= budget:
            return dtype, users, tokens
    if budget >= tokens * size:
        return dtype, budget // (tokens * size), tokens
    most = budget // size
    return None if most == 0 else (dtype, 1, most)


def plan_pops(budget, kv_bytes_per_token, users, tokens):
    while len(kv_bytes_per_token) > 1 and users * tokens * next(iter(kv_bytes_per_token.values())) > budget:
        del kv_bytes_per_token[next(iter(kv_bytes_per_token))]
    [dtype, size] = next(iter(kv_bytes_per_token.items()))
    if size > budget:
        return None
    return dtype, min(users, max(1, budget // (tokens * size))), min(tokens, budget // size)


CASES = {
    "03.bytes_per_token": [
        ("rounded up to a byte", bytes_whole_each),
        ("query heads", bytes_usual),
        ("only keys or only values", bytes_keys),
        ("bits are counted as bytes", bytes_in_bits),
        ("4 bits become 0", bytes_half),
        ("MLA is counted like other attention", bytes_as_gqa),
        ("counted twice", bytes_latent_both),
        ("key with the position", bytes_without_rope),
        (None, bytes_of_a_request),
        ("printed, not returned", bytes_shown),
    ],
    "03.max_requests": [
        ("rounded up", fit_ceil),
        ("after the weights are subtracted", fit_share_last),
        ("`usable` is not used", fit_all_of_it),
        ("negative number", fit_negative),
        ("weights are not subtracted", fit_no_weights),
        ("tokens of a request are not counted", fit_tokens_only),
        ("a float", fit_float),
        (None, fit_half),
    ],
    "03.fragmentation": [
        ("added up before the comparison", parts_together),
        ("never used are counted as reserved", parts_two_names),
        (None, parts_between_only),
        ("all holes are counted as external", parts_all_external),
        ("exactly the needed size", parts_too_strict),
        ("shares are returned", parts_per_cent),
        ("segments are changed", parts_pops),
    ],
    "03.fit_a_budget": [
        ("negative budget", plan_truth),
        ("dict is changed", plan_pops),
        ("exactly the budget", plan_strict),
        ("smallest dtype", plan_smallest),
        ("only the first dtype", plan_returns_early),
        ("cut short", plan_cuts_sequences),
        ("only if all users fit", plan_all_or_none),
        ("no user is served", plan_no_user),
        (None, plan_thrifty),
        ("printed, not returned", plan_shows),
        ("nothing is returned", plan_forgets),
    ],
}
