"""Answers to 17.kv_heads and 17.route by people who never saw the checks; see written_several_gpus.py."""

from collections import defaultdict

from course_lib.practice.lessons.l17.solutions.kv_heads import heads_of
from course_lib.practice.lessons.l17.solutions.route import PrefixRouter


def heads_by_groups(rank, num_ranks, num_heads, num_kv_heads, num_layers, head_dim, num_bytes):
    if num_heads % num_ranks != 0:
        raise ValueError("uneven")
    groups = [
        (kv, kv * (num_heads // num_kv_heads) + i)
        for kv in range(num_kv_heads)
        for i in range(num_heads // num_kv_heads)
    ]
    n = num_heads // num_ranks
    mine = groups[n * rank : n * rank + n]
    kv = sorted(set(k for k, _ in mine))
    return [q for _, q in mine], kv, num_layers * len(kv) * head_dim * num_bytes * 2


def heads_by_comparison(rank, num_ranks, num_heads, num_kv_heads, num_layers, head_dim, num_bytes):
    lo, hi = rank * num_heads / num_ranks, (rank + 1) * num_heads / num_ranks
    if lo != int(lo) or hi != int(hi) or num_heads % num_ranks:
        raise ValueError
    g = num_heads // num_kv_heads
    kv = [k for k in range(num_kv_heads) if k * g < hi and (k + 1) * g > lo]
    return list(range(int(lo), int(hi))), kv, 2 * num_layers * head_dim * num_bytes * len(kv)


def heads_by_append(rank, num_ranks, num_heads, num_kv_heads, num_layers, head_dim, num_bytes):
    each, left_over = divmod(num_heads, num_ranks)
    if left_over:
        raise ValueError(f"{num_heads} / {num_ranks}")
    query, kv = [], []
    for h in range(each * rank, each * rank + each):
        query.append(h)
        if h // (num_heads // num_kv_heads) not in kv:
            kv.append(h // (num_heads // num_kv_heads))
    per_head = 2 * head_dim * num_bytes
    return query, kv, per_head * len(kv) * num_layers


def other(kv=None, size=None, query=None, gives=None):
    """The right answer with other KV heads, bytes or query heads."""

    def answer(rank, num_ranks, num_heads, num_kv_heads, num_layers, head_dim, num_bytes):
        q, k, b = heads_of(rank, num_ranks, num_heads, num_kv_heads, num_layers, head_dim, num_bytes)
        k = kv(rank, num_ranks, num_heads, num_kv_heads) if kv else k
        q = query(rank, num_ranks, num_heads) if query else q
        b = 2 * num_layers * len(k) * head_dim * num_bytes
        b = size(num_ranks, num_kv_heads, len(q), num_layers, head_dim, num_bytes) if size else b
        return gives(q, k, b) if gives else (q, k, b)

    return answer


def heads_unchecked(rank, num_ranks, num_heads, num_kv_heads, num_layers, head_dim, num_bytes):
    each = num_heads // num_ranks
    query = list(range(rank * each, rank * each + each))
    kv = sorted({h * num_kv_heads // num_heads for h in query})
    return query, kv, 2 * num_layers * len(kv) * head_dim * num_bytes


class RouterOfLists:
    def __init__(self, num_replicas, block_size, max_imbalance, max_load):
        self.n, self.b, self.i, self.m = num_replicas, block_size, max_imbalance, max_load
        self.seen = defaultdict(set)

    def choose(self, token_ids, loads):
        best = None
        for r in range(self.n):
            if loads[r] >= self.m or loads[r] > min(loads) + self.i:
                continue
            depth = 0
            while (depth + 1) * self.b <= len(token_ids) and tuple(token_ids[: (depth + 1) * self.b]) in self.seen[r]:
                depth += 1
            if best is None or depth > best[0] or depth == best[0] and loads[r] < best[1]:
                best = depth, loads[r], r
        if best is None:
            return None
        for end in range(self.b, len(token_ids) + 1, self.b):
            self.seen[best[2]].add(tuple(token_ids[:end]))
        return best[2]


class RouterOfStrings:
    def __init__(self, num_replicas, block_size, max_imbalance, max_load):
        self.sent, self.block_size = [[] for _ in range(num_replicas)], block_size
        self.max_imbalance, self.max_load = max_imbalance, max_load

    def choose(self, token_ids, loads):
        blocks = [
            str(token_ids[i : i + self.block_size])
            for i in range(0, len(token_ids) - self.block_size + 1, self.block_size)
        ]

        def score(r):
            return max((sum(1 for _ in self.equal(blocks, old)) for old in self.sent[r]), default=0)

        free = [r for r, load in enumerate(loads) if load < self.max_load and load - min(loads) <= self.max_imbalance]
        ranking = sorted(free, key=lambda r: (-score(r), loads[r]))
        if not ranking:
            return None
        self.sent[ranking[0]].append(blocks)
        return ranking[0]

    @staticmethod
    def equal(one, two):
        for a, b in zip(one, two):
            if a != b:
                return
            yield a


class RouterOfHashes(PrefixRouter):
    def __init__(self, *settings):
        super().__init__(*settings)
        self.sent = [dict() for _ in self.sent]

    def choose(self, token_ids, loads):
        state, chain = 0, []
        for i in range(0, len(token_ids) // self.block_size * self.block_size, self.block_size):
            state = hash((state, tuple(token_ids[i : i + self.block_size])))
            chain.append(state)
        best = None
        for r in sorted(range(len(loads)), key=lambda r: (loads[r], r)):
            if (
                loads[r] < self.max_load
                and loads[r] <= loads[min(range(len(loads)), key=loads.__getitem__)] + self.max_imbalance
            ):
                known = len([h for h in chain if h in self.sent[r]])
                if best is None or known > best[0]:
                    best = known, r
        if best is not None:
            self.sent[best[1]] |= dict.fromkeys(chain)
            return best[1]


def router(**parts):
    return type("PrefixRouter", (RouterOfLists,), parts)


class RouterLeast(RouterOfLists):
    def choose(self, token_ids, loads):
        free = [r for r in range(self.n) if loads[r] < self.m]
        return min(free, key=loads.__getitem__) if free else None


class RouterForgets(PrefixRouter):
    def choose(self, token_ids, loads):
        chosen = super().choose(token_ids, loads)
        if chosen is not None:
            self.sent[chosen] = {one for one in self.sent[chosen] if list(one) == list(token_ids[: len(one)])}
        return chosen


class RouterCounts(PrefixRouter):
    def choose(self, token_ids, loads):
        chosen = super().choose(token_ids, loads)
        if chosen is not None:
            loads[chosen] += 1
        return chosen


class RouterRaises(PrefixRouter):
    def choose(self, token_ids, loads):
        if all(load >= self.max_load for load in loads):
            raise RuntimeError("all replicas are full")
        return super().choose(token_ids, loads)


class RouterNoLimit(PrefixRouter):
    def __init__(self, num_replicas, block_size, max_imbalance, max_load):
        super().__init__(num_replicas, block_size, 10**9, max_load)


class RouterFullLater(PrefixRouter):
    def __init__(self, num_replicas, block_size, max_imbalance, max_load):
        super().__init__(num_replicas, block_size, max_imbalance, max_load + 1)


class RouterByTokens(PrefixRouter):
    def __init__(self, num_replicas, block_size, max_imbalance, max_load):
        super().__init__(num_replicas, 1, max_imbalance, max_load)


class RouterFirstBlock(PrefixRouter):
    def choose(self, token_ids, loads):
        return super().choose(token_ids[: self.block_size], loads)


class RouterLooseBlocks(RouterOfStrings):
    def choose(self, token_ids, loads):
        return super().choose(list(token_ids), loads)

    @staticmethod
    def equal(one, two):
        return (block for block in one if block in two)


class RouterStrict(PrefixRouter):
    def __init__(self, num_replicas, block_size, max_imbalance, max_load):
        super().__init__(num_replicas, block_size, max(0, max_imbalance - 1), max_load)


RIGHT = {
    "17.kv_heads": [heads_by_groups, heads_by_comparison, heads_by_append],
    "17.route": [RouterOfLists, RouterOfStrings, RouterOfHashes],
}
CASES = {
    "17.kv_heads": [
        ("some hold none", other(kv=lambda r, n, h, k: list(range(r * (k // n), (r + 1) * (k // n))))),
        (
            "handed out in turn",
            other(kv=lambda r, n, h, k: [r % k] if k < n else list(range(r * k // n, (r + 1) * k // n))),
        ),
        ("holds all KV heads", other(kv=lambda r, n, h, k: list(range(k)))),
        (
            "one that is read is missing",
            other(kv=lambda r, n, h, k: list(range(r * k // n, max((r + 1) * k // n, r * k // n + 1)))),
        ),
        ("key and no value", other(size=lambda n, k, q, layers, d, b: layers * -(-k // n) * d * b)),
        ("divided by the number of ranks", other(size=lambda n, k, q, layers, d, b: 2 * layers * k * d * b // n)),
        ("those of the whole model", other(size=lambda n, k, q, layers, d, b: 2 * layers * k * d * b)),
        ("dealt out in turn", other(query=lambda r, n, h: list(range(r, h, n)))),
        ("count query heads", other(size=lambda n, k, q, layers, d, b: 2 * layers * q * d * b)),
        ("not refused", heads_unchecked),
    ],
    "17.route": [
        ("prompts play no part", RouterLeast),
        ("only the last prompt", RouterForgets),
        ("caller's lists are changed", RouterCounts),
        ("an error or a number comes", RouterRaises),
        ("balance plays no part", RouterNoLimit),
        ("one request too late", RouterFullLater),
        ("tokens are counted", RouterByTokens),
        ("only the first block", RouterFirstBlock),
        ("wherever it stood", RouterLooseBlocks),
        (None, RouterStrict),
    ],
}
