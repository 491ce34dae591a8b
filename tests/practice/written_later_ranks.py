"""Answers to lesson 17 by one who never saw the checks; see written_several_gpus.py."""

import math

import torch

from course_lib.practice.lessons.l17.solutions.all_reduce import all_reduce
from course_lib.practice.lessons.l17.solutions.route import PrefixRouter
from course_lib.practice.lessons.l17.solutions.shard import shard


def shard_by_chunks(name, weight, rank, num_ranks, head_dim):
    if num_ranks == 1:
        return weight
    kind = name.split(".")[-2]
    if kind in ("q_proj", "gate_proj", "up_proj"):
        return weight.chunk(num_ranks, dim=0)[rank].clone()
    if kind in ("k_proj", "v_proj"):
        heads = weight.split(head_dim)
        if len(heads) < num_ranks:
            return heads[rank * len(heads) // num_ranks].clone()
        per = len(heads) // num_ranks
        return torch.cat(heads[rank * per : rank * per + per], dim=0)
    if kind == "down_proj" or name.endswith("o_proj.weight"):
        return torch.tensor_split(weight, num_ranks, dim=1)[rank].clone(memory_format=torch.contiguous_format)
    if name.endswith("o_proj.bias"):
        return weight if rank == 0 else weight.new_zeros(weight.shape)
    if kind in ("embed_tokens", "lm_head"):
        size = math.ceil(weight.size(0) / num_ranks)
        first = min(rank * size, weight.size(0))
        return weight.narrow(0, first, min(size, weight.size(0) - first)).clone()
    return weight


def ring_in_place(tensors, ring):
    results = [one.clone() for one in tensors]
    n = len(results)
    views = [one.tensor_split(n) for one in results]
    for s in range(n - 1):
        got = ring.exchange([views[r][(r - s) % n].clone() for r in range(n)])
        for r in range(n):
            views[r][(r - s - 1) % n].add_(got[r])
    for s in range(n - 1):
        got = ring.exchange([views[r][(r + 1 - s) % n].clone() for r in range(n)])
        for r in range(n):
            views[r][(r - s) % n].copy_(got[r])
    return results


def heads_by_torch(rank, num_ranks, num_heads, num_kv_heads, num_layers, head_dim, num_bytes):
    per_rank, rest = divmod(num_heads, num_ranks)
    if rest:
        raise ValueError("num_ranks must divide num_heads")
    owner = torch.arange(num_heads) // (num_heads // num_kv_heads)
    query = torch.arange(num_heads)[rank * per_rank :][:per_rank].tolist()
    kv = owner[rank * per_rank :][:per_rank].unique().tolist()
    one = head_dim * num_bytes
    return (query, kv, len(kv) * num_layers * (one + one))


class RouterOfPrompts:
    def __init__(self, num_replicas, block_size, max_imbalance, max_load):
        self.prompts = {r: [] for r in range(num_replicas)}
        self.bs, self.imbalance, self.cap = block_size, max_imbalance, max_load

    def common(self, a, b):
        n = 0
        while n < min(len(a), len(b)) and a[n] == b[n]:
            n += 1
        return n // self.bs

    def choose(self, token_ids, loads):
        candidates = {
            r: load for r, load in enumerate(loads) if load < self.cap and load - min(loads) <= self.imbalance
        }
        if candidates == {}:
            return None
        found = {r: max([self.common(one, token_ids) for one in self.prompts[r]], default=0) for r in candidates}
        longest = max(found.values())
        candidates = {r: load for r, load in candidates.items() if found[r] == longest}
        least = min(candidates.values())
        r = min(r for r, load in candidates.items() if load == least)
        self.prompts[r].append(list(token_ids))
        return r


def no_rows_in_float32(name, weight, rank, num_ranks, head_dim):
    part = shard(name, weight, rank, num_ranks, head_dim)
    return part if len(part) else torch.empty(0, weight.shape[1])


def sums_in_float32(tensors, ring):
    return [total.to(tensors[0].dtype) for total in all_reduce([tensor.float() for tensor in tensors], ring)]


def fills_up(tensors, ring):
    length, pad = len(tensors[0]), -len(tensors[0]) % len(tensors)
    longer = [torch.cat([tensor, tensor.new_zeros(pad)]) for tensor in tensors]
    return [total[:length].clone() for total in all_reduce(longer, ring)]


def in_order_of_coming(tensors, ring):
    n = len(tensors)
    pieces = [list(tensor.clone().tensor_split(n)) for tensor in tensors]
    for s in range(n - 1):
        received = ring.exchange([pieces[r][(r - s) % n] for r in range(n)])
        for r in range(n):
            i = (r - s - 1) % n
            pieces[r][i] = pieces[r][i] + received[r]
    for s in range(n - 1):
        received = ring.exchange([pieces[r][(r + 1 - s) % n] for r in range(n)])
        for r in range(n):
            pieces[r][(r - s) % n] = received[r]
    return [torch.cat([one[(r + 1 - s) % n] for s in range(n)]) for r, one in enumerate(pieces)]


def heads_in_any_order(rank, num_ranks, num_heads, num_kv_heads, num_layers, head_dim, num_bytes):
    if num_heads % num_ranks != 0:
        raise ValueError(f"{num_ranks} ranks do not divide {num_heads} heads")
    per_rank = num_heads // num_ranks
    group = num_heads // num_kv_heads
    query = list(range(rank * per_rank, (rank + 1) * per_rank))
    kv = list({head // group for head in query})
    return query, kv, 2 * num_layers * len(kv) * head_dim * num_bytes


class OneOwner:
    def __init__(self, num_replicas, block_size, max_imbalance, max_load):
        self._sent = [set() for _ in range(num_replicas)]
        self._block_size = block_size
        self._max_imbalance = max_imbalance
        self._max_load = max_load

    def choose(self, token_ids, loads):
        most = min(loads) + self._max_imbalance
        left = [r for r, load in enumerate(loads) if load < self._max_load and load <= most]
        if not left:
            return None
        ends = range(self._block_size, len(token_ids) + 1, self._block_size)
        prefixes = [tuple(token_ids[:end]) for end in ends]
        chosen = min(left, key=lambda r: (-sum(one in self._sent[r] for one in prefixes), loads[r], r))
        for one in self._sent:
            one.difference_update(prefixes)
        self._sent[chosen].update(prefixes)
        return chosen


class ForgetsBlocks(OneOwner):
    def choose(self, token_ids, loads):
        most = min(loads) + self._max_imbalance
        left = [r for r, load in enumerate(loads) if load < self._max_load and load <= most]
        ends = range(self._block_size, len(token_ids) + 1, self._block_size)
        prefixes = [tuple(token_ids[:end]) for end in ends]
        if not left:
            return None
        chosen = min(left, key=lambda r: (-sum(one in self._sent[r] for one in prefixes), loads[r], r))
        self._sent[chosen].update(prefixes)
        while len(self._sent[chosen]) > 1000:
            self._sent[chosen].pop()
        return chosen


class LastBlockLeftOut(PrefixRouter):
    def choose(self, token_ids, loads):
        return super().choose(token_ids[:-1], loads)


class CallForEachBlock:
    def __init__(self, num_replicas, block_size, max_imbalance, max_load):
        self.trees = [dict() for _ in range(num_replicas)]
        self.block_size, self.max_imbalance, self.max_load = block_size, max_imbalance, max_load

    def choose(self, token_ids, loads):
        blocks = []
        for at in range(len(token_ids) // self.block_size):
            blocks.append(tuple(token_ids[at * self.block_size : (at + 1) * self.block_size]))
        best = None
        for r in range(len(self.trees)):
            if loads[r] >= self.max_load or loads[r] - min(loads) > self.max_imbalance:
                continue
            depth, node = 0, self.trees[r]
            while depth < len(blocks) and blocks[depth] in node:
                node = node[blocks[depth]]
                depth += 1
            if best is None or (depth, -loads[r]) > best[:2]:
                best = (depth, -loads[r], r)
        if best is None:
            return None
        self.add(self.trees[best[2]], blocks)
        return best[2]

    def add(self, node, blocks):
        if blocks:
            self.add(node.setdefault(blocks[0], {}), blocks[1:])


RIGHT = {
    "17.shard": [shard_by_chunks],
    "17.all_reduce": [ring_in_place],
    "17.kv_heads": [heads_by_torch],
    "17.route": [RouterOfPrompts, CallForEachBlock],
}
CASES = {
    "17.shard": [(None, no_rows_in_float32)],
    "17.all_reduce": [
        ("in another dtype", sums_in_float32),
        ("filled up to one length", fills_up),
        ("in another order", in_order_of_coming),
    ],
    "17.kv_heads": [(None, heads_in_any_order)],
    "17.route": [("for one replica only", OneOwner), (None, ForgetsBlocks), ("the last block", LastBlockLeftOut)],
}
