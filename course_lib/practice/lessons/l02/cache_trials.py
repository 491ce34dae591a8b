"""Trials of 02.cache: steps of given sizes, a second sequence after reset(), and steps that do not fit."""

from contextlib import nullcontext

import torch

from course_lib.errors import CacheFull
from course_lib.practice.fixtures.tiny_sequence import NanInEmpty, run_layers, tokens
from course_lib.practice.judge.agreement import differing
from course_lib.practice.judge.exercise import Trial
from course_lib.practice.report.tensors import numbers


def begin(shape, max_tokens, more=""):
    return [
        f"from course_lib.practice.play import Shape, run_layers{more}",
        f"shape = {shape}  # layers, heads, key/value heads, head_dim",
        f"cache = ContiguousCache(shape, {max_tokens})",
    ]


def steps_of(split, sequence=0):
    starts = [sum(split[:i]) for i in range(len(split))]
    which = f", sequence={sequence}" if sequence else ""
    return [f"run_layers(cache, shape, {start}, {n}{which})" for start, n in zip(starts, split)]


def run(answer, shape, split, max_tokens, cache=None):
    """(the cache, what the last step returned) after steps of these sizes. cache: an empty one; default: a new one."""
    cache, start, outs = cache or answer(shape, max_tokens), 0, []
    for n in split:
        outs = run_layers(cache, shape, start, n)
        start += n
    return cache, outs


def size_of(shape, split):
    return sum(split) * shape.num_layers * shape.num_heads * shape.head_dim + len(split)


def attends(shape, split, max_tokens=None, nan=False):
    """The Trial of what the last step of a sequence returns, with steps of these sizes.

    nan: memory from torch.empty is full of nan.
    """
    max_tokens = max_tokens or sum(split) + 1
    made = begin(shape, max_tokens, ", NanInEmpty" if nan else "")
    if nan:
        made[-1:] = [
            "with NanInEmpty():  # torch.empty does not clear memory: anything can be in it",
            f"    {made[-1]}",
        ]

    def act(answer):
        with NanInEmpty() if nan else nullcontext():
            cache = answer(shape, max_tokens)
        return run(answer, shape, split, max_tokens, cache)[1]

    return Trial(
        made + steps_of(split),
        act,
        show=layers_shown,
        note="layer by layer" if shape.num_layers > 1 else "",
        size=size_of(shape, split),
        explain=explain,
    )


def steep(shape, split, times):
    """The Trial of what the last step returns, with q and k so large that no finite score hides a later token."""

    def act(answer):
        cache, start, outs = answer(shape, 9), 0, []
        for n in split:
            steps = [(layer, *tokens(shape, layer, start, n)) for layer in range(shape.num_layers)]
            outs = [cache.attend(layer, q * times, k * times, v) for layer, q, k, v in steps]
            start += n
        return outs

    lines = begin(shape, 9, ", tokens")
    for start, n in zip([sum(split[:i]) for i in range(len(split))], split):
        lines += [f"q, k, v = tokens(shape, 0, {start}, {n})", f"cache.attend(0, {times} * q, {times} * k, v)"]
    size = times * size_of(shape, split)
    return Trial(lines, act, show=layers_shown, size=size, explain=explain, note="scores of some hundreds or more")


def shapes(shape, split):
    def act(answer):
        return [
            list(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
            for out in run(answer, shape, split, 9)[1]
        ]

    lines = begin(shape, 9) + steps_of(split)
    return Trial(
        [*lines[:-1], f"[out.shape for out in {lines[-1]}]"],
        act,
        size=size_of(shape, split),
        note="[num_new, num_heads, head_dim]",
    )


def num_tokens(shape, split):
    return Trial(
        [*begin(shape, 9), *steps_of(split), "cache.num_tokens"],
        lambda answer: run(answer, shape, split, 9)[0].num_tokens,
        size=size_of(shape, split),
        explain=is_method,
    )


def num_tokens_between(shape, split):
    """The Trial of num_tokens after each layer of the last step."""
    start, n = sum(split[:-1]), split[-1]

    def act(answer):
        cache, _ = run(answer, shape, split[:-1], 9, answer(shape, 9))
        seen = []
        for layer in range(shape.num_layers):
            cache.attend(layer, *tokens(shape, layer, start, n))
            seen.append(cache.num_tokens)
        return seen

    lines = [
        *begin(shape, 9, ", tokens"),
        *steps_of(split[:-1]),
        f"for layer in range({shape.num_layers}):",
        f"    cache.attend(layer, *tokens(shape, layer, {start}, {n}))",
        "    print(cache.num_tokens)",
    ]
    return Trial(lines, act, size=size_of(shape, split), note="it grows after the last layer")


def is_method(expected, got):
    return "`num_tokens` is a method here; the course reads it without brackets. Make it an attribute." * callable(got)


def after_reset(shape, split):
    """The Trial of num_tokens after reset()."""

    def act(answer):
        cache, _ = run(answer, shape, split, 9)
        cache.reset()
        return cache.num_tokens

    lines = [*begin(shape, 9), *steps_of(split), "cache.reset()", "cache.num_tokens"]
    return Trial(lines, act, size=size_of(shape, split), explain=is_method)


def second_sequence(shape, one, two):
    """The Trial of what the last step of a second sequence returns, after reset()."""

    def act(answer):
        cache, _ = run(answer, shape, one, 9)
        cache.reset()
        outs, start = [], 0
        for n in two:
            outs = run_layers(cache, shape, start, n, sequence=1)
            start += n
        return outs

    return Trial(
        [*begin(shape, 9), *steps_of(one), "cache.reset()", *steps_of(two, sequence=1)],
        act,
        show=layers_shown,
        explain=explain,
        size=size_of(shape, one) + size_of(shape, two),
    )


def too_many(shape, split, over):
    """The Trial of a step of `over` tokens, one more than fit: the error, and num_tokens after it."""
    max_tokens = sum(split) + over - 1

    def act(answer):
        cache, _ = run(answer, shape, split, max_tokens)
        try:
            run_layers(cache, shape, sum(split), over)
        except (NotImplementedError, CacheFull) as error:
            if isinstance(error, NotImplementedError):
                raise
            return ["CacheFull", cache.num_tokens]
        except Exception as error:
            return [type(error).__name__, cache.num_tokens]
        return ["no error", cache.num_tokens]

    lines = [
        *begin(shape, max_tokens),
        *steps_of(split),
        f"run_layers(cache, shape, {sum(split)}, {over})  # must raise CacheFull",
        "cache.num_tokens",
    ]
    return Trial(
        lines, act, size=size_of(shape, split) + over, note="the error, and the number of tokens in the cache after it"
    )


def full_at(shape, split, over):
    """The Trial of the layer in which a step of `over` tokens, one more than fit, raises CacheFull."""
    max_tokens = sum(split) + over - 1

    def act(answer):
        cache, _ = run(answer, shape, split, max_tokens, answer(shape, max_tokens))
        for layer in range(shape.num_layers):
            try:
                cache.attend(layer, *tokens(shape, layer, sum(split), over))
            except CacheFull:
                return layer
        return "in no layer"

    lines = [
        *begin(shape, max_tokens, ", tokens"),
        *steps_of(split),
        f"for layer in range({shape.num_layers}):  # which of them raises CacheFull?",
        f"    cache.attend(layer, *tokens(shape, layer, {sum(split)}, {over}))",
    ]
    return Trial(lines, act, size=size_of(shape, split) + over, note="the first layer")


def goes_on(shape, split, over):
    """The Trial of a step of one token that fits, after a step that did not fit."""
    max_tokens = sum(split) + over - 1

    def act(answer):
        cache, _ = run(answer, shape, split, max_tokens)
        try:
            run_layers(cache, shape, sum(split), over)
        except (CacheFull, RuntimeError) as error:
            if isinstance(error, NotImplementedError):
                raise
        return run_layers(cache, shape, sum(split), 1)

    lines = [
        *begin(shape, max_tokens),
        *steps_of(split),
        "try:",
        f"    run_layers(cache, shape, {sum(split)}, {over})  # does not fit",
        "except Exception:",
        "    pass",
        f"run_layers(cache, shape, {sum(split)}, 1)",
    ]
    return Trial(lines, act, size=size_of(shape, split) + over, show=layers_shown, explain=explain)


def layers_shown(outs):
    """The outputs of a step, layer by layer, in a short form."""
    if isinstance(outs, list) and all(isinstance(out, torch.Tensor) for out in outs):
        shown = [
            numbers(out, 3)
            if out.numel() <= 12
            else f"a tensor {list(out.shape)}, first numbers {numbers(out.flatten()[:4], 3)}"
            for out in outs
        ]
        return shown[0] if len(shown) == 1 else "[" + ", ".join(shown) + "]"
    return repr(outs)


def explain(expected, got):
    """The first layer, token and head that differ, in words."""
    if not isinstance(got, list) or len(got) != len(expected):
        return ""
    for layer, (a, b) in enumerate(zip(expected, got)):
        if not isinstance(b, torch.Tensor):
            return f"`attend` returned {type(b).__name__}; it must return a tensor with the shape of q."
        if a.shape != b.shape:
            return f"The shape is {list(b.shape)}; the shape of q is {list(a.shape)}."
        if b.isnan().any():
            return (
                'The output has nan ("not a number"): a token attends to no key, or memory is read that was never '
                "written."
            )
        wrong = differing(a, b).any(-1).nonzero()
        if len(wrong) and a.numel() > 1:
            row, head = wrong[0].tolist()
            return f"The first difference: layer {layer}, row {row} of the new tokens, head {head}."
    return ""
