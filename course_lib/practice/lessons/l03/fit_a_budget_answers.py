"""Answers to 03.fit_a_budget: right ones written differently, and wrong ones made of parts that can each be wrong."""


def fit_by_counting(budget, kv_bytes_per_token, users, tokens):
    dtypes = list(kv_bytes_per_token)
    fitting = [d for d in dtypes if budget // kv_bytes_per_token[d] >= users * tokens]
    dtype = fitting[0] if fitting else dtypes[-1]
    slots = budget // kv_bytes_per_token[dtype]
    if slots <= 0:
        return None
    length = min(tokens, slots)
    return dtype, min(users, slots // length), length


def fit_by_trying(budget, kv_bytes_per_token, users, tokens):
    plans = [(dtype, users, tokens) for dtype in kv_bytes_per_token]
    last = plans[-1][0]
    plans += [(last, n, tokens) for n in range(users - 1, 0, -1)] + [(last, 1, t) for t in range(tokens - 1, 0, -1)]
    return next(([d, n, t] for d, n, t in plans if kv_bytes_per_token[d] * n * t <= budget), None)


def wrong(
    fits=lambda total, budget: total <= budget,
    asks=lambda users, tokens: users * tokens,
    dtypes=list,
    fewer=None,
    shorter=None,
    none=None,
):
    """A wrong answer: the right one with one step replaced."""

    def answer(budget, sizes, users, tokens):
        for dtype in dtypes(sizes):
            if fits(asks(users, tokens) * sizes[dtype], budget):
                return dtype, users, tokens
        size = sizes[dtype]
        if fits(tokens * size, budget):
            return (fewer or (lambda d, b, s, u, t: (d, b // (t * s), t)))(dtype, budget, size, users, tokens)
        if fits(size, budget):
            return (shorter or (lambda d, b, s, u, t: (d, 1, b // s)))(dtype, budget, size, users, tokens)
        return none(dtype, tokens) if none else None

    return answer


def first_only(sizes):
    return list(sizes)[:1]


def last_only(sizes):
    return list(sizes)[-1:]


def length_first(budget, sizes, users, tokens):
    """Shortens all sequences before it serves fewer users."""
    for dtype, size in sizes.items():
        if users * tokens * size <= budget:
            return dtype, users, tokens
    if users * size <= budget:
        return dtype, users, budget // (users * size)
    return (dtype, budget // size, 1) if size <= budget else None


def not_noticed(budget, sizes, users, tokens):
    """Takes every number of tokens but 0 for one that fits."""
    for dtype, size in sizes.items():
        if users * tokens * size <= budget:
            return dtype, users, tokens
    if budget // (tokens * size) > 0:
        return dtype, budget // (tokens * size), tokens
    return (dtype, 1, budget // size) if budget // size else None


def last_by_name(budget, sizes, users, tokens):
    """Takes the largest name for the last dtype where not all users fit."""
    for dtype, size in sizes.items():
        if users * tokens * size <= budget:
            return dtype, users, tokens
    return fit_by_counting(budget, {max(sizes): sizes[max(sizes)]}, users, tokens)
