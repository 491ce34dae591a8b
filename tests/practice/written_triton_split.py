"""Wrong answers to 08.split_kv as people write them in torch; see written_otherwise.py."""

import torch

from course_lib.practice.lessons.l08.split_kv import split_kv

INF = float("inf")


def split_mean(*step):
    _, partial, lse = split_kv(*step)
    return partial.mean(-2), partial, lse


def split_raw(*step):
    _, partial, lse = split_kv(*step)
    w = lse.exp()
    return (partial * w[..., None]).sum(2) / w.sum(2).clamp(min=1e-30)[..., None], partial, lse


def split_base_two(*step):
    out, partial, lse = split_kv(*step)
    return out, partial, lse * 1.4426950408889634


def split_nan(*step):
    _, partial, lse = split_kv(*step)
    return torch.einsum("shp,shpd->shd", lse.softmax(-1), partial), partial, lse


def split_tail(q, k_cache, v_cache, block_tables, seq_lens, num_splits):
    size = k_cache.shape[1]
    return split_kv(q, k_cache, v_cache, block_tables, (seq_lens + size - 1) // size * size, num_splits)


def split_sum(*step):
    out, partial, lse = split_kv(*step)
    return out, partial, lse.exp()


def split_over(dim):
    def answer(*step):
        _, partial, lse = split_kv(*step)
        return (lse.softmax(dim).nan_to_num()[..., None] * partial).sum(2), partial, lse

    return answer


def split_weighs_by_sums(*step):
    _, partial, lse = split_kv(*step)
    return (lse.exp()[..., None] * partial).sum(-2), partial, lse


def split_zero_for_nothing(*step):
    _, partial, lse = split_kv(*step)
    lse = lse.clone()
    lse[lse == -INF] = 0
    return (lse.softmax(-1)[..., None] * partial).sum(-2), partial, lse


def split_weighs_by_lse(*step):
    _, partial, lse = split_kv(*step)
    return (partial * (lse / lse.sum(-1, keepdim=True))[..., None]).sum(2), partial, lse


def split_out_alone(*step):
    return split_kv(*step)[0]


CASES = {
    "08.split_kv": [
        ("merged without weights", split_mean),
        ("overflow", split_raw),
        ("base 2", split_base_two),
        ("output is nan", split_nan),
        ("tail is missing", split_tail),
        ("log-sum-exp is wrong", split_sum),
        (None, split_out_alone),
        ("not computed over the parts", split_over(1)),
        ("not computed over the parts", split_over(0)),
        ("do not sum to 1", split_weighs_by_sums),
        ("an empty part has a weight", split_zero_for_nothing),
        ("themselves are the weights", split_weighs_by_lse),
    ]
}
