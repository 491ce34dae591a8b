"""The mistakes in 14.paged_decode_int8 that have to do with scales and whole numbers."""

import torch

from course_lib.practice.judge.exercise import Mistake

from .int8_answers import (
    Int8Wrong,
    one_by_one,
    ones,
    other_layout,
    scaled,
    unseen,
    value_scales_in_the_sum,
    zero_scales_left_out,
)

SCALE_MISTAKES = [
    Mistake(
        "the scales of the values are in the sum.",
        "The output is divided by the sum of the weights as they are. Multiply them with the scales after that "
        "sum, where "
        "the values are added up.",
        unseen(one_by_one(value_scales_in_the_sum)),
    ),
    Mistake(
        "the keys are not multiplied with their scales.",
        "A key is `k_cache` times `k_scale`: multiply the score with it.",
        Int8Wrong(made=scaled(k_scale=ones)),
    ),
    Mistake(
        "the values are not multiplied with their scales.",
        "A value is `v_cache` times `v_scale`: multiply its weight with it, after the sum of the weights.",
        Int8Wrong(made=scaled(v_scale=ones)),
    ),
    Mistake(
        "no scales are used.",
        "The caches hold whole numbers. A key is `k_cache` times `k_scale`, a value `v_cache` times `v_scale`.",
        Int8Wrong(made=scaled(ones, ones)),
    ),
    Mistake(
        "keys and values have the same scale.",
        "`k_scale` is for keys, `v_scale` for values.",
        (
            Int8Wrong(made=scaled(v_scale=lambda k, v: k)),
            Int8Wrong(made=scaled(k_scale=lambda k, v: v)),
            Int8Wrong(made=scaled(k_scale=lambda k, v: v, v_scale=lambda k, v: k)),
        ),
    ),
    Mistake(
        "a scale is used twice, or divided by.",
        "A key is its whole numbers times its scale, once.",
        (
            Int8Wrong(made=scaled(k_scale=lambda k, v: k * k)),
            Int8Wrong(made=scaled(v_scale=lambda k, v: v * v)),
            Int8Wrong(made=scaled(lambda k, v: k * k, lambda k, v: v * v)),
            Int8Wrong(made=scaled(lambda k, v: 1 / k, lambda k, v: 1 / v)),
        ),
    ),
    Mistake(
        "the scales are read in another layout.",
        "They are [num_blocks, num_kv_heads, block_size]: the scale of a slot is at (block * num_kv_heads + kv_head) * "
        "block_size + offset.",
        (
            Int8Wrong(made=scaled(lambda k, v: other_layout(k), lambda k, v: other_layout(v))),
            Int8Wrong(made=scaled(k_scale=lambda k, v: other_layout(k))),
            Int8Wrong(made=scaled(v_scale=lambda k, v: other_layout(v))),
        ),
    ),
    Mistake(
        "all slots of a block have the scale of the first.",
        "Each slot has its own: the offset belongs into the address of the scale.",
        (
            Int8Wrong(made=scaled(lambda k, v: k[:, :, :1].expand_as(k), lambda k, v: v[:, :, :1].expand_as(v))),
            Int8Wrong(made=scaled(k_scale=lambda k, v: k[:, :, :1].expand_as(k))),
            Int8Wrong(made=scaled(v_scale=lambda k, v: v[:, :, :1].expand_as(v))),
        ),
    ),
    Mistake(
        "all heads have the scale of the first.",
        "Each KV head has its own: the KV head belongs into the address of the scale.",
        (
            Int8Wrong(made=scaled(lambda k, v: k[:, :1].expand_as(k), lambda k, v: v[:, :1].expand_as(v))),
            Int8Wrong(made=scaled(k_scale=lambda k, v: k[:, :1].expand_as(k))),
            Int8Wrong(made=scaled(v_scale=lambda k, v: v[:, :1].expand_as(v))),
        ),
    ),
    Mistake(
        "negative numbers are taken for large ones.",
        "The caches are int8, with signs. As uint8, -3 is 253.",
        Int8Wrong(made=scaled(numbers=lambda x: x.float() % 256)),
    ),
    Mistake(
        "the queries become whole numbers.",
        "Only keys and values are quantised. Turn these into float32, not q into int8.",
        (Int8Wrong(changed=torch.trunc), Int8Wrong(changed=torch.round)),
    ),
    Mistake(
        "a token with scales of 0 is left out.",
        "Its key is zeros, so its score is 0, and exp(0 - maximum) is not. Only `seq_lens` says which slots hold "
        "tokens.",
        unseen(one_by_one(zero_scales_left_out)),
    ),
]
