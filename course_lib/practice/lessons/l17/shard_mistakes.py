"""The mistakes in 17.shard. Each is the right answer with one part replaced."""

import torch

from course_lib.practice.judge.exercise import Mistake


def rows(weight, rank, n):
    each = -(-weight.shape[0] // n)
    return weight[rank * each : (rank + 1) * each].clone()


def columns(weight, rank, n):
    each = weight.shape[-1] // n
    return weight[..., rank * each : (rank + 1) * each].clone()


def whole(weight, rank, n):
    return weight.clone()


def heads(weight, rank, n, head_dim):
    count = weight.shape[0] // head_dim
    first, held = rank * count // n, max(1, count // n)
    return weight[first * head_dim : (first + held) * head_dim].clone()


def bias_on_rank_0(weight, rank, n):
    return weight.clone() if rank == 0 else torch.zeros_like(weight)


def wrong(
    *,
    q=rows,
    up=rows,
    kv=heads,
    o=columns,
    down=columns,
    o_bias=bias_on_rank_0,
    vocabulary=rows,
    norm=whole,
    after=lambda part: part,
):
    """A wrong answer: the right one with one part replaced."""

    def answer(name, weight, rank, num_ranks, head_dim):
        def cut():
            if "norm" in name:
                return norm(weight, rank, num_ranks)
            if "o_proj.bias" in name:
                return o_bias(weight, rank, num_ranks)
            if "k_proj" in name or "v_proj" in name:
                return kv(weight, rank, num_ranks, head_dim)
            if "q_proj" in name:
                return q(weight, rank, num_ranks)
            if "o_proj" in name:
                return o(weight, rank, num_ranks)
            if "down_proj" in name:
                return down(weight, rank, num_ranks)
            return (up if "mlp" in name else vocabulary)(weight, rank, num_ranks)

        return after(cut())

    return answer


def one_query_head(name, weight, rank, num_ranks, head_dim):
    if "q_proj" in name and num_ranks > 1:
        return weight[rank * head_dim : (rank + 1) * head_dim].clone()
    return wrong()(name, weight, rank, num_ranks, head_dim)


def not_cut(is_whole):
    """Holds all of the weights that is_whole(name, weight) is true for."""

    def answer(name, weight, rank, num_ranks, head_dim):
        return weight.clone() if is_whole(name, weight) else wrong()(name, weight, rank, num_ranks, head_dim)

    return answer


def without_heads(weight, rank, n, head_dim):
    each = weight.shape[0] // n
    return weight[rank * each : (rank + 1) * each].clone()


def heads_in_turn(weight, rank, n, head_dim):
    count = weight.shape[0] // head_dim
    if count >= n:
        return heads(weight, rank, n, head_dim)
    return weight[rank % count * head_dim :][:head_dim].clone()


def no_heads(weight, rank, n, head_dim):
    """Too few heads for all: the last ranks get nothing."""
    each = -(-(weight.shape[0] // head_dim) // n)
    return weight[rank * each * head_dim : (rank + 1) * each * head_dim].clone()


def all_heads_if_few(weight, rank, n, head_dim):
    return heads(weight, rank, n, head_dim) if weight.shape[0] // head_dim >= n else weight.clone()


def in_turn(weight, rank, n):
    return weight[rank::n].clone()


def floored(weight, rank, n):
    each = weight.shape[0] // n
    return weight[rank * each : (rank + 1) * each].clone()


def rest_to_last(weight, rank, n):
    each = weight.shape[0] // n
    return weight[rank * each : None if rank == n - 1 else (rank + 1) * each].clone()


def one_row_more(weight, rank, n):
    each = weight.shape[0] // n + 1
    return weight[rank * each : (rank + 1) * each].clone()


def balanced(weight, rank, n):
    return weight.tensor_split(n)[rank].clone()


def padded(weight, rank, n):
    each = -(-weight.shape[0] // n)
    own = rows(weight, rank, n)
    return torch.cat([own, own.new_zeros(each - len(own), *own.shape[1:])])


def by_chunk(weight, rank, n):
    return weight.chunk(n)[rank].clone()


MISTAKES = [
    Mistake(
        "rows and columns are exchanged everywhere.",
        "The weight of a linear layer is [outputs, inputs]. What papers call column-parallel, a cut by outputs, is a "
        "cut by rows of this tensor.",
        (
            wrong(q=columns, up=columns, o=rows, down=rows),
            wrong(
                q=columns,
                up=columns,
                o=rows,
                down=rows,
                kv=lambda w, rank, n, d: heads(w.T, rank, n, d).T if w.ndim > 1 else heads(w, rank, n, d),
            ),
        ),
    ),  # fmt: skip
    Mistake(
        "`o_proj` or `down_proj` is cut into rows.",
        "A rank has a part of their inputs only, and a column belongs to an input. With rows, the ranks would have to "
        "send each other the whole input first.",
        (wrong(o=rows, down=rows), wrong(o=rows), wrong(down=rows)),
    ),
    Mistake(
        "`gate_proj` and `up_proj` are cut into columns.",
        "With columns each rank would have a part of each sum, and they would have to be added up before the "
        "activation.",
        wrong(up=columns),
    ),
    Mistake(
        "`q_proj` is cut into columns.",
        "A rank computes whole query heads: it holds their rows.",
        wrong(q=lambda w, rank, n: columns(w, rank, n) if w.ndim > 1 else rows(w, rank, n)),
    ),
    Mistake(
        "each rank holds one query head.",
        "With more heads than ranks, a rank holds several, one after the other: its rows are `weight.shape[0] // "
        "num_ranks`.",
        one_query_head,
    ),
    Mistake(
        "`k_proj` and `v_proj` are cut inside a head.",
        "`weight.shape[0] // num_ranks` rows are less than a head where there are fewer KV heads than ranks. Then "
        "ranks in a row hold the same whole head.",
        wrong(kv=without_heads),
    ),
    Mistake(
        "KV heads are handed out in turn.",
        "Query heads that share a KV head stand in a row. So ranks in a row hold the same one: rank r holds head r // "
        "(N / K).",
        wrong(kv=heads_in_turn),
    ),
    Mistake(
        "with fewer KV heads than ranks, some ranks get none.",
        "Each rank needs the KV head that its query heads read. It is held by N / K ranks.",
        wrong(kv=no_heads),
    ),
    Mistake(
        "ranks hold all KV heads.",
        "A rank needs the KV heads that its query heads read, and no others.",
        (wrong(kv=lambda w, rank, n, d: w.clone()), wrong(kv=all_heads_if_few)),
    ),
    Mistake(
        "the bias of `o_proj` is on every rank.",
        "The outputs of all ranks are added up, so it would count N times. The other ranks hold zeros.",
        wrong(o_bias=whole),
    ),
    Mistake(
        "the bias of `o_proj` is divided by the number of ranks.",
        "Added up that is the same, but for rounding. Asked for is all of it on rank 0, and zeros on the others.",
        wrong(o_bias=lambda w, rank, n: w / n),
    ),
    Mistake(
        "the bias of `o_proj` is cut.",
        "Its outputs are not: each rank has a sum for all of them. Rank 0 holds the whole bias, the others zeros.",
        (wrong(o_bias=rows), wrong(o_bias=lambda w, rank, n: w[:, : w.shape[1] // n])),
    ),
    Mistake(
        "the bias of `o_proj` is missing on the other ranks.",
        "They hold zeros of the same shape.",
        wrong(o_bias=lambda w, rank, n: w.clone() if rank == 0 else w[:0].clone()),
    ),
    Mistake(
        "norms are cut.",
        "The mean square of a norm goes over the whole vector, so each rank normalises all of it.",
        (wrong(norm=rows), wrong(norm=columns)),
    ),
    Mistake(
        "the biases of q, k and v are not cut.",
        "A number of a bias belongs to a row of the weight: it is cut as the rows are.",
        not_cut(lambda name, weight: weight.ndim == 1 and name.split(".")[-2] in ("q_proj", "k_proj", "v_proj")),
    ),
    Mistake(
        "rows of the vocabulary get lost.",
        "The number of rows divided by N is rounded up, or the last tokens belong to nobody.",
        wrong(vocabulary=floored),
    ),
    Mistake(
        "the vocabulary is cut into other parts.",
        "Each rank gets the number of rows divided by N, rounded up. The last ones get what is left.",
        (wrong(vocabulary=balanced), wrong(vocabulary=rest_to_last), wrong(vocabulary=one_row_more)),
    ),
    Mistake(
        "the last part of the vocabulary is filled up.",
        "The last ranks hold fewer rows, or none.",
        wrong(vocabulary=padded),
    ),
    Mistake(
        "where no rows of the vocabulary are left, an error comes.",
        "`chunk` may make fewer parts than ranks. Such a rank holds a tensor without rows.",
        wrong(vocabulary=by_chunk),
    ),
    Mistake(
        "each rank holds the whole vocabulary, of both weights or of one.",
        "Embedding and output head are among the largest weights: each rank holds its rows of them.",
        (
            wrong(vocabulary=whole),
            not_cut(lambda name, weight: "lm_head" in name),
            not_cut(lambda name, weight: "embed_tokens" in name),
        ),
    ),
    Mistake(
        "the vocabulary is cut into columns.", "Each rank holds the rows of some tokens.", wrong(vocabulary=columns)
    ),
    Mistake(
        "rows are dealt out in turn.",
        "Parts are runs, one after the other. Rows of one head stay together.",
        (wrong(q=in_turn, up=in_turn), wrong(q=in_turn), wrong(up=in_turn), wrong(vocabulary=in_turn)),
    ),
    Mistake(
        "nothing is cut.",
        "Then each rank holds and computes the whole model.",
        wrong(q=whole, up=whole, kv=lambda w, rank, n, d: w.clone(), o=whole, down=whole, vocabulary=whole),
    ),
    Mistake(
        "the dtype changes.",
        "A part has the dtype of its weight.",
        (
            wrong(after=lambda part: part.float()),
            wrong(o_bias=lambda w, rank, n: w.clone() if rank == 0 else torch.zeros(w.shape)),
        ),
    ),  # fmt: skip
    Mistake("lists are returned.", "A part is a tensor.", wrong(after=lambda part: part.tolist())),
]
