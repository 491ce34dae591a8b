"""Trials of 02.cache: whose memory it is, when it is allocated, and what of the caller's is left alone."""

import torch

from course_lib.practice.fixtures.tiny_sequence import float_types, run_layers, storages, tensor_bytes, tokens
from course_lib.practice.judge.exercise import Trial

from .cache_trials import begin, explain, layers_shown, run, size_of, steps_of


def growth(shape, split):
    """The Trial of how many bytes the cache's tensors have grown since it was made."""

    def act(answer):
        cache = answer(shape, 9)
        before = tensor_bytes(vars(cache))
        run(answer, shape, split, 9, cache)
        return tensor_bytes(vars(cache)) - before

    return Trial(
        [
            *begin(shape, 9, ", tensor_bytes"),
            "before = tensor_bytes(vars(cache))",
            *steps_of(split),
            "tensor_bytes(vars(cache)) - before",
        ],
        act,
        size=size_of(shape, split),
        note="bytes more than after __init__",
    )


def in_float32(shape):
    """The Trial of the dtypes of the cache's tensors of floats."""
    lines = [*begin(shape, 9, ", float_types"), "float_types(vars(cache))"]
    return Trial(lines, lambda answer: float_types(vars(answer(shape, 9))), size=size_of(shape, [1]))


def same_memory(shape, split):
    """The Trial of whether the tensors that the cache had before reset() are those that it has after it."""

    def act(answer):
        cache, _ = run(answer, shape, split, 9)
        before = storages(vars(cache))
        cache.reset()
        run_layers(cache, shape, 0, 1)
        return set(before) <= set(storages(vars(cache)))

    return Trial(
        [
            *begin(shape, 9, ", storages"),
            *steps_of(split),
            "before = storages(vars(cache))  # {address: memory}",
            "cache.reset()",
            "run_layers(cache, shape, 0, 1)",
            "set(before) <= set(storages(vars(cache)))",
        ],
        act,
        size=size_of(shape, split),
        note="the memory from before is still the cache's",
    )


def two_caches(shape, first, other):
    """The Trial of what the last step of one cache returns, where another cache takes steps before that step."""

    def act(answer):
        one, two = answer(shape, 9), answer(shape, 9)
        run(answer, shape, first[:-1], 9, one)
        start = 0
        for n in other:
            run_layers(two, shape, start, n, sequence=1)
            start += n
        return run_layers(one, shape, sum(first[:-1]), first[-1])

    *early, last = steps_of(first)
    return Trial(
        [
            *begin(shape, 9),
            "other = ContiguousCache(shape, 9)",
            *early,
            *(line.replace("run_layers(cache", "run_layers(other") for line in steps_of(other, sequence=1)),
            last,
        ],
        act,
        show=layers_shown,
        explain=explain,
        size=size_of(shape, first) + size_of(shape, other),
    )


def untouched(shape, count):
    """The Trial that compares the caller's q, k and v after a step."""

    def act(answer):
        given = tokens(shape, 0, 0, count)
        cache = answer(shape, 9)
        for layer in range(shape.num_layers):
            cache.attend(layer, *given)
        return given

    return Trial(
        [
            *begin(shape, 9, ", tokens"),
            f"q, k, v = tokens(shape, 0, 0, {count})",
            *(f"cache.attend({layer}, q, k, v)" for layer in range(shape.num_layers)),
            "q, k, v",
        ],
        act,
        show=layers_shown,
        size=size_of(shape, [count]),
        explain=lambda expected, got: next(
            (f"`{name}` was changed." for name, a, b in zip("qkv", expected, got) if not torch.equal(a, b)), ""
        ),
    )
