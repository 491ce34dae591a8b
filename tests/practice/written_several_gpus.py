"""Answers to lesson 17 by people who never saw its checks: right ones, and wrong ones with the name of the mistake."""

import torch


def shard_by_match(name, weight, rank, num_ranks, head_dim):
    match name.split(".")[-2:]:
        case ["o_proj", "bias"]:
            return weight.detach().clone() if not rank else weight.new_zeros(weight.shape)
        case ["o_proj" | "down_proj", _]:
            return weight.chunk(num_ranks, dim=1)[rank].clone()
        case ["q_proj" | "gate_proj" | "up_proj", _]:
            return weight.chunk(num_ranks, dim=0)[rank].clone()
        case ["k_proj" | "v_proj", _]:
            total = len(weight) // head_dim
            mine = [h for h in range(total) if h * num_ranks // total == rank or rank * total // num_ranks == h]
            return torch.cat([weight[h * head_dim : (h + 1) * head_dim] for h in mine])
        case ["embed_tokens" | "lm_head", _]:
            per = (len(weight) - 1) // num_ranks + 1
            return weight[per * rank :][:per].clone()
    return weight


def shard_by_lookup(name, weight, rank, num_ranks, head_dim):
    columns = ("o_proj.weight", "down_proj.weight")
    if any(key in name for key in columns):
        return torch.hsplit(weight, num_ranks)[rank].clone()
    if name.endswith("o_proj.bias"):
        return weight.clone() if rank == 0 else weight * 0
    if not any(key in name for key in ("proj", "embed", "lm_head")):
        return weight
    unit = head_dim if ("k_proj" in name or "v_proj" in name) else 1
    units = weight.shape[0] // unit
    if (
        unit > 1
        and units < num_ranks
        or units
        and "k_proj" in name
        and units < num_ranks
        or "v_proj" in name
        and units < num_ranks
    ):
        first = rank // (num_ranks // units)
        return weight[first * unit : first * unit + unit].clone()
    per = -(-units // num_ranks)
    return weight[rank * per * unit : (rank + 1) * per * unit].clone()


def shard_with_start_stop(name, weight, rank, num_ranks, head_dim):
    def bounds(n):
        return slice(n * rank // num_ranks, n * (rank + 1) // num_ranks)

    if "norm" in name:
        return weight
    if "o_proj" in name and "bias" in name:
        return weight.clone() if rank == 0 else torch.zeros_like(weight)
    if "down_proj" in name or "o_proj" in name:
        return weight[:, bounds(weight.size(1))].clone()
    if "k_proj" in name or "v_proj" in name:
        heads = weight.reshape(-1, head_dim, *weight.shape[1:])
        if len(heads) < num_ranks:
            heads = heads.repeat_interleave(num_ranks // len(heads), 0)
        return heads[bounds(len(heads))].flatten(0, 1).clone()
    if "embed" in name or "lm_head" in name:
        per = -(-len(weight) // num_ranks)
        return weight[rank * per : rank * per + per].clone()
    return weight[bounds(len(weight))].clone()


def changed(right, **rules):
    """The right answer, except for names with these words: rules = {word: another function of the same arguments}."""

    def answer(name, weight, rank, num_ranks, head_dim):
        for word, other in rules.items():
            if word in name:
                return other(weight, rank, num_ranks, head_dim)
        return right(name, weight, rank, num_ranks, head_dim)

    return answer


def rows(w, r, n, d):
    return w.chunk(n)[r].clone()


def shard_views(name, weight, rank, num_ranks, head_dim):
    part = shard_by_match(name, weight, rank, num_ranks, head_dim)
    if part.numel() == weight.numel() or "o_proj" in name or "down" in name or "k_proj" in name or "v_proj" in name:
        return part
    per = -(-len(weight) // num_ranks)
    return weight[rank * per : rank * per + per].contiguous()


def ring_by_dicts(tensors, ring):
    n = len(tensors)
    held = [dict(enumerate(t.clone().tensor_split(n))) for t in tensors]
    for s in range(2 * (n - 1)):
        is_sum, shift = s < n - 1, s if s < n - 1 else s - n
        got = ring.exchange([held[r][(r - shift) % n] for r in range(n)])
        for r in range(n):
            at = (r - 1 - shift) % n
            held[r][at] = held[r][at] + got[r] if is_sum else got[r]
    return [torch.cat([own[i] for i in range(n)]) for own in held]


def ring_in_table(tensors, ring):
    n, size = len(tensors), len(tensors[0])
    edges = [0]
    for i in range(n):
        edges.append(edges[-1] + size // n + (i < size % n))
    out = torch.stack(list(tensors)).clone()
    cut = [slice(a, b) for a, b in zip(edges, edges[1:])]
    for s in range(n - 1):
        got = ring.exchange([out[r, cut[(r - s) % n]] for r in range(n)])
        for r in range(n):
            out[r, cut[(r - s - 1) % n]] += got[r]
    for s in range(n - 1):
        got = ring.exchange([out[r, cut[(r - s + 1) % n]] for r in range(n)])
        for r in range(n):
            out[r, cut[(r - s) % n]] = got[r]
    return [row.clone() for row in out]


def ring_recursive(tensors, ring):
    n = len(tensors)
    pieces = [[p.clone() for p in torch.tensor_split(t, n)] for t in tensors]

    def go(s):
        if s == 2 * n - 2:
            return
        back = s if s < n - 1 else s - n
        for r, p in enumerate(ring.exchange([pieces[r][(r - back) % n] for r in range(n)])):
            i = (r - 1 - back) % n
            pieces[r][i] = pieces[r][i] + p if s < n - 1 else p
        go(s + 1)

    go(0)
    return [torch.cat(p) for p in pieces]


def ring_gathers_all(tensors, ring):
    """All-gather of whole tensors, then a sum on each rank."""
    n, seen, moving = len(tensors), [[t] for t in tensors], list(tensors)
    for _ in range(n - 1):
        moving = ring.exchange(moving)
        for r in range(n):
            seen[r].append(moving[r])
    return [torch.stack(own).sum(0) for own in seen]


def ring_writes_views(tensors, ring):
    """Cuts the tensors themselves."""
    n = len(tensors)
    pieces = [list(t.tensor_split(n)) for t in tensors]
    for s in range(n - 1):
        got = ring.exchange([pieces[r][(r - s) % n] for r in range(n)])
        for r in range(n):
            pieces[r][(r - s - 1) % n] += got[r]
    for s in range(n - 1):
        got = ring.exchange([pieces[r][(r + 1 - s) % n] for r in range(n)])
        for r in range(n):
            pieces[r][(r - s) % n].copy_(got[r])
    return list(tensors)


def ring_stops_early(tensors, ring):
    n = len(tensors)
    pieces = [list(t.clone().tensor_split(n)) for t in tensors]
    for s in range(n - 1):
        got = ring.exchange([pieces[r][(r - s) % n] for r in range(n)])
        for r in range(n):
            pieces[r][(r - s - 1) % n] = pieces[r][(r - s - 1) % n] + got[r]
    return [torch.cat(p) for p in pieces]


def ring_adds_twice(tensors, ring):
    n = len(tensors)
    pieces = [list(t.clone().tensor_split(n)) for t in tensors]
    for phase in (0, 1):
        for s in range(n - 1):
            got = ring.exchange([pieces[r][(r + phase - s) % n] for r in range(n)])
            for r in range(n):
                at = (r + phase - s - 1) % n
                pieces[r][at] = pieces[r][at] + got[r]
    return [torch.cat(p) for p in pieces]


def ring_with_chunk(tensors, ring):
    n = len(tensors)
    pieces = [[p.clone() for p in t.chunk(n)] for t in tensors]
    for s in range(n - 1):
        got = ring.exchange([pieces[r][(r - s) % n] for r in range(n)])
        for r in range(n):
            pieces[r][(r - s - 1) % n] += got[r]
    for s in range(n - 1):
        got = ring.exchange([pieces[r][(r + 1 - s) % n] for r in range(n)])
        for r in range(n):
            pieces[r][(r - s) % n] = got[r]
    return [torch.cat(p) for p in pieces]


def ring_one_result(tensors, ring):
    total = ring_by_dicts(tensors, ring)[0]
    return [total] * len(tensors)


def ring_in_float(tensors, ring):
    return ring_by_dicts([t.float() for t in tensors], ring)


def ring_averages(tensors, ring):
    return [t // len(tensors) for t in ring_by_dicts(tensors, ring)]


def ring_alone(tensors, ring):
    """Sums before anything is sent."""
    return [torch.stack(tensors).sum(0)] * len(tensors)


def ring_to_the_left(tensors, ring):
    """Takes what arrives for what the next rank sent."""
    n = len(tensors)
    pieces = [list(t.clone().tensor_split(n)) for t in tensors]
    for s in range(n - 1):
        got = ring.exchange([pieces[r][(r - s) % n] for r in range(n)])
        for r in range(n):
            pieces[(r + 1) % n][(r - s) % n] += got[r]
    for s in range(n - 1):
        got = ring.exchange([pieces[r][(r + 1 - s) % n] for r in range(n)])
        for r in range(n):
            pieces[(r + 1) % n][(r + 1 - s) % n] = got[r]
    return [torch.cat(p) for p in pieces]


RIGHT = {
    "17.shard": [shard_by_match, shard_by_lookup, shard_with_start_stop],
    "17.all_reduce": [ring_by_dicts, ring_in_table, ring_recursive],
}
CASES = {
    "17.shard": [
        ("cut into rows", changed(shard_by_match, down_proj=rows)),
        ("are cut into columns", changed(shard_by_match, up_proj=lambda w, r, n, d: w.chunk(n, 1)[r].clone(),
                                         gate_proj=lambda w, r, n, d: w.chunk(n, 1)[r].clone())),
        ("cut inside a head", changed(shard_by_match, k_proj=rows, v_proj=rows)),
        ("bias of `o_proj` is on every rank", changed(shard_by_match, **{"o_proj.bias": lambda w, r, n, d: w.clone()})),
        ("bias of `o_proj` is divided", changed(shard_by_match, **{"o_proj.bias": lambda w, r, n, d: w / n})),
        ("vocabulary is cut into other parts", changed(
            shard_by_match, embed_tokens=lambda w, r, n, d: w.tensor_split(n)[r].clone(),
            lm_head=lambda w, r, n, d: w.tensor_split(n)[r].clone())),
        ("whole vocabulary", changed(shard_by_match, embed_tokens=lambda w, r, n, d: w.clone(),
                                     lm_head=lambda w, r, n, d: w.clone())),
        ("norms are cut", changed(shard_by_match, norm=rows)),
        ("the part is a view", shard_views),
        ("all KV heads", changed(shard_by_match, k_proj=lambda w, *_: w.clone(), v_proj=lambda w, *_: w.clone())),
    ],
    "17.all_reduce": [
        ("whole tensors are sent", ring_gathers_all),
        ("are changed, or results share memory", ring_writes_views),
        ("all-gather is missing", ring_stops_early),
        ("all-gather adds", ring_adds_twice),
        ("`chunk` makes fewer pieces", ring_with_chunk),
        ("are changed, or results share memory", ring_one_result),
        ("the dtype changes", ring_in_float),
        ("the mean is returned", ring_averages),
        ("nothing is sent", ring_alone),
        (None, ring_to_the_left),
    ],
}  # fmt: skip
