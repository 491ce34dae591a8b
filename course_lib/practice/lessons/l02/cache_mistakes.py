"""Mistakes that people make in 02.cache."""

import torch

from course_lib.practice.fixtures.tiny_sequence import Shape, run_layers, tensor_bytes
from course_lib.practice.judge.common_mistakes import writes_into
from course_lib.practice.judge.exercise import Mistake
from course_lib.practice.judge.running import Raised

from .cache_answers import WrongCache, cache_grown
from .cache_trials import run
from .solutions.cache import ContiguousCache


def wants_as_many_key_value_heads(answer, found):
    """Whether it works with as many key/value heads as query heads, and raises with fewer."""

    def raises(kv_heads):
        try:
            run(answer, Shape(num_heads=4, num_kv_heads=kv_heads, head_dim=2), [2], 9)
        except RuntimeError:
            return True
        return False

    return isinstance(found.outcome, Raised) and raises(2) and not raises(4)


def allocates_late(answer, found):
    """Whether it has more memory after the first step than after `__init__`, and no more after the second."""
    shape, bytes_after = Shape(), []
    cache = answer(shape, 9)
    for position in range(-1, 2):
        if position >= 0:
            run_layers(cache, shape, position, 1)
        bytes_after.append(tensor_bytes(vars(cache)))
    return bytes_after[0] < bytes_after[1] == bytes_after[2]


class KeysAreValues(ContiguousCache):
    def __init__(self, config, max_tokens):
        super().__init__(config, max_tokens)
        self.v = self.k


def overwrites_its_output(answer, found):
    """Whether what `attend` returned for one layer lies where it writes what it returns for the next."""
    shape = Shape(num_layers=2)
    first, second = run_layers(answer(shape, 9), shape, 0, 2)
    return first.untyped_storage().data_ptr() == second.untyped_storage().data_ptr()


def is_finite(outs):
    """Whether all outputs of a step are tensors of finite numbers."""
    return isinstance(outs, list) and all(isinstance(out, torch.Tensor) and out.isfinite().all() for out in outs)


def mistakes(two_caches, same_memory, untouched, between, steep, float32, old):
    """The mistakes of 02.cache. The arguments are the trials of the properties that have these names."""
    return [
        Mistake(
            "the output of a layer is written over by the next one.",
            "`attend` returns a part of a tensor that the cache uses again. Return a new tensor each time.",
            is_made_by=overwrites_its_output,
        ),
        Mistake(
            "keys and values are kept in one tensor.",
            "`self.k = self.v = …` gives one tensor two names: what is written last is read as both. Make two.",
            KeysAreValues,
        ),
        Mistake(
            "`num_tokens` grows before the last layer.",
            "Other parts of a server read it between two layers. Set it when the last layer has its keys and values: "
            "`layer == num_layers - 1`.",
            is_made_by=writes_into(between),
        ),
        Mistake(
            "masked keys get a finite score, not -inf.",
            "A score can be lower than -100 or -10,000, and then the masked keys have the largest. `-torch.inf` is "
            "below all of them.",
            (WrongCache.variant(hidden=-100.0), WrongCache.variant(hidden=-1e4)),
            lambda answer, found: found.trial in steep and is_finite(found.outcome),
        ),
        Mistake(
            "exp of a score overflows.",
            "exp(89) is infinite in float32. Subtract the largest score of the row first, as `softmax` does.",
            WrongCache.variant(weights=lambda x: x.exp() / x.exp().sum(-1, keepdim=True)),
            lambda answer, found: found.trial in steep and not isinstance(found.outcome, Raised),
        ),
        Mistake(
            "the memory has more bits than `k` and `v`.",
            "It takes twice the bytes, and holds the same numbers: make float32 tensors.",
            WrongCache.variant(dtype=torch.float64),
            writes_into(float32),
        ),
        Mistake(
            "only the last tokens are attended to.",
            "A new token attends to all tokens of the sequence, however old: read from position 0 on.",
            tuple(WrongCache.variant(begin=lambda start, n=n: max(0, start - n)) for n in (8, 16)),
            lambda answer, found: found.trial in old and is_finite(found.outcome),
        ),
        *KNOWN,
        Mistake(
            "two caches share one memory.",
            "What is made in the class body or kept in a global belongs to all caches. Make the tensors in "
            "`__init__`, and keep them in `self`.",
            WrongCache.variant(allocates="for all"),
            writes_into(two_caches),
        ),
        Mistake(
            "`reset()` allocates the memory again.",
            "It is enough to set `num_tokens` to 0: the next sequence overwrites the first.",
            WrongCache.variant(allocates="again"),
            writes_into(same_memory),
        ),
        Mistake(
            "`q`, `k` or `v` is changed.",
            "`q /= …` and functions whose names end in `_` write into the model's tensor. Make a new one: `q = q / …`.",
            is_made_by=writes_into(untouched),
        ),
    ]


KNOWN = [
    Mistake(
        "`attend` returns nothing.",
        "The model continues with the returned tensor. Put `return` before the output.",
        WrongCache.variant(returns=lambda out: None),
    ),
    Mistake(
        "the heads come before the tokens in the output.",
        "`scaled_dot_product_attention` takes and returns heads first. Transpose the output: `out.transpose(0, 1)`.",
        WrongCache.variant(returns=lambda out: out.transpose(0, 1)),
    ),
    Mistake(
        "tokens are written one position off.",
        "The step's tokens belong at positions `start` to `end - 1`, where `start` is the number of tokens cached "
        "before the step. One position later leaves a gap, one earlier overwrites the previous token.",
        (
            WrongCache.variant(write_at=lambda start: start + 1),
            WrongCache.variant(write_at=lambda start: max(start - 1, 0)),
            WrongCache.variant(
                write_at=lambda start: start - 1 if start else 0, upto=lambda start, end, room: end - (start > 0)
            ),
        ),
    ),
    Mistake(
        "the cached keys are never read.",
        "The new tokens attend only to the new keys. Attend over `self.k[layer, :end]`, not over `k`.",
        WrongCache.variant(begin=lambda start: start),
    ),
    Mistake(
        "`num_tokens` never grows.",
        "Every step then starts at 0 and overwrites the earlier tokens. After the last layer: `self.num_tokens = end`.",
        WrongCache.variant(counts=lambda now, n, layer, layers: now),
    ),
    Mistake(
        "a new token does not attend to itself.",
        "Write the new keys first, then attend over `[:end]`.",
        (
            WrongCache.variant(upto=lambda start, end, room: start or end),
            WrongCache.variant(diagonal=lambda start: start - 1),
        ),
    ),
    Mistake(
        "the first token is left out.",
        "Position 0 is a token like any other, and often gets the most attention. Attend over `[:end]`.",
        (WrongCache.variant(begin=lambda start: 1 if start else 0), WrongCache.variant(begin=lambda start: 1)),
    ),
    Mistake(
        "tokens of the prompt attend to later tokens.",
        "In a step of several tokens, each attends to itself and to the tokens before it: a causal mask is needed.",
        (
            WrongCache.variant(diagonal=lambda start: 99),
            WrongCache.variant(diagonal=lambda start: 99 if start == 0 else start),
            WrongCache.variant(diagonal=lambda start: start + 1),
        ),
    ),
    Mistake(
        "the causal mask starts at the first key.",
        "With `is_causal=True`, row i attends to keys 0 to i. After `start` cached tokens, row i is at position "
        "`start + i`: use `tril(start)`.",
        (WrongCache.variant(diagonal=lambda start: 0), WrongCache.variant(diagonal=lambda start: 0, alone=True)),
    ),
    Mistake(
        "positions that are not used yet are read.",
        "From `end` on there are only zeros, and a zero key still gets a share of the attention. Cut at `[:end]`.",
        (
            WrongCache.variant(upto=lambda start, end, room: room, diagonal=lambda start: 99),
            WrongCache.variant(
                upto=lambda start, end, room: room if start else end, diagonal=lambda start: 99 if start else 0
            ),
        ),
    ),
    Mistake(
        "scores are scaled wrongly.",
        "A score is q · k divided by the square root of head_dim.",
        (WrongCache.variant(scale=lambda head_dim: 1.0), WrongCache.variant(scale=lambda head_dim: 1 / head_dim)),
    ),
    Mistake(
        "query heads are matched with the wrong key/value heads.",
        "With 4 query heads over 2, the order is 0, 0, 1, 1 (`repeat_interleave`), not 0, 1, 0, 1 (`repeat`).",
        (
            WrongCache.variant(kv_head=lambda head, group, kv_heads: head % kv_heads),
            WrongCache.variant(kv_head=lambda head, group, kv_heads: 0),
        ),
    ),
    Mistake(
        "the code assumes as many key/value heads as query heads.",
        "There are `num_kv_heads` key/value heads, often fewer. Make the tensors for `config.num_kv_heads`, and let "
        "`enable_gqa=True` match them with the query heads.",
        is_made_by=wants_as_many_key_value_heads,
    ),
    Mistake(
        "all layers share the same keys and values.",
        "Each layer has its own: `self.k[layer]`.",
        WrongCache.variant(stored_at=lambda layer: 0),
    ),
    Mistake(
        "`num_tokens` grows in every layer.",
        "All layers of a step start at the same position. Change `num_tokens` only after the last layer: "
        "`layer == num_layers - 1`.",
        (
            WrongCache.variant(counts=lambda now, n, layer, layers: now + n),
            WrongCache.variant(counts=lambda now, n, layer, layers: now + n * (layer == 0)),
        ),
    ),
    Mistake(
        "`num_tokens` counts steps, not tokens.",
        "Prefill adds many tokens in one step: add `len(k)`, not 1.",
        WrongCache.variant(counts=lambda now, n, layer, layers: now + (layer == layers - 1)),
    ),
    Mistake(
        "`reset()` does not reset `num_tokens`.",
        "`num_tokens` decides which keys are read. Set it to 0; then the second sequence overwrites the first.",
        (WrongCache.variant(forgets=()), WrongCache.variant(forgets=("tensors",))),
    ),
    Mistake(
        "nothing checks whether the step fits.",
        "Compare `end` with `max_tokens` before you write, and raise `CacheFull`.",
        (WrongCache.variant(room="none"), WrongCache.variant(room="drop"), WrongCache.variant(room="grow")),
    ),
    Mistake(
        "the last position is never used.",
        "`end` may equal `max_tokens`: then positions 0 to max_tokens - 1 are all used.",
        WrongCache.variant(room="early"),
    ),
    Mistake(
        "the cache grows with the sequence.",
        "`torch.cat` makes a new, longer tensor and copies everything, in every layer of every step. Allocate "
        "`max_tokens` positions in `__init__`, and write into them.",
        cache_grown,
    ),
    Mistake(
        "the memory is not allocated in `__init__`.",
        "In the first step the memory may be gone: others have taken it. Allocate it when the cache is made.",
        WrongCache.variant(allocates="late"),
        allocates_late,
    ),
    Mistake(
        "the memory has fewer bits than `k` and `v`.",
        "What is written there is rounded. `k` and `v` are float32: make tensors of that dtype.",
        (WrongCache.variant(dtype=torch.float16), WrongCache.variant(dtype=torch.bfloat16)),
    ),
    Mistake(
        "a method that the model calls is missing.",
        "The model calls `cache.attend(layer, q, k, v)`; between two sequences, `cache.reset()` is called. The "
        "methods must have these names.",
        is_made_by=lambda answer, found: not all(callable(getattr(answer, name, None)) for name in ("attend", "reset")),
    ),
]
