"""Answers for 06.count_io: two right ones written differently, and wrong ones."""

import torch


def io_by_running(algorithm, n, head_dim, tile, itemsize, causal):
    """Runs the algorithm of the library on zeros and reads its meter."""
    from course_lib.attention import flash_attention_v1, flash_attention_v2, standard_attention
    from course_lib.attention.reference.meter import Meter

    meter, zeros = Meter(), torch.zeros(n, 1, head_dim)
    attention = {"standard": standard_attention, "flash 1": flash_attention_v1, "flash 2": flash_attention_v2}[
        algorithm
    ]
    attention(
        zeros, zeros, zeros, causal=causal, meter=meter, **({} if algorithm == "standard" else {"tile": tuple(tile)})
    )
    names = ("q", "k", "v", "out", "scores", "weights")
    read, written = (sum(moved[name] for name in names) for moved in (meter.read, meter.written))
    first = 4 * n * head_dim if algorithm == "flash 1" else 0  # the initial zeros, which the exercise does not count
    return read // 4 * itemsize, (written - first) // 4 * itemsize


def io_by_pairs(algorithm, n, head_dim, tile, itemsize, causal):
    rows = [min(tile[0], n - r) for r in range(0, n, tile[0])]
    columns = [min(tile[1], n - c) for c in range(0, n, tile[1])]
    met = [
        (r, c)
        for i, r in enumerate(rows)
        for j, c in enumerate(columns)
        if not causal or j * tile[1] <= i * tile[0] + r - 1
    ]
    numbers = {
        "standard": (3 * n * head_dim + 2 * n * n, n * head_dim + 2 * n * n),
        "flash 1": (2 * n * head_dim + 2 * head_dim * sum(r for r, _ in met), head_dim * sum(r for r, _ in met)),
        "flash 2": (n * head_dim + 2 * head_dim * sum(c for _, c in met), n * head_dim),
    }[algorithm]
    return numbers[0] * itemsize, numbers[1] * itemsize


def io_without_first_reads(algorithm, n, head_dim, tile, itemsize, causal):
    """A wrong answer: in flash 1, the first read of each row of the output, which gives zeros, is left out."""
    read, written = io_by_pairs(algorithm, n, head_dim, tile, itemsize, causal)
    return read - n * head_dim * itemsize * (algorithm == "flash 1"), written


def wrong(
    *,
    matrix=(2, 2),
    swap=False,
    kv_once=False,
    q_again=False,
    out_again=True,
    skips=True,
    seen=lambda c0, r0, r1: c0 < r1,
    zeros=False,
    whole_tiles=False,
    size=lambda s: s,
    rewrites=True,
    tile_order=1,
    pairs=lambda r, w: (r, w),
    half_matrix=False,
    by_number=False,
):
    """A wrong answer: the right one with a part replaced."""

    def answer(algorithm, n, head_dim, tile, itemsize, causal):
        if swap and algorithm != "standard":
            algorithm = {"flash 1": "flash 2", "flash 2": "flash 1"}[algorithm]
        tile = tuple(tile)[::tile_order]
        piece = n * head_dim
        if algorithm == "standard":
            square = n * (n + 1) // 2 if half_matrix and causal else n * n
            read, written = 3 * piece + matrix[0] * square, piece + matrix[1] * square
        else:
            rows = [(r, tile[0] if whole_tiles else min(tile[0], n - r)) for r in range(0, n, tile[0])]
            columns = [(c, tile[1] if whole_tiles else min(tile[1], n - c)) for c in range(0, n, tile[1])]
            met = [
                (r, c)
                for i, (r0, r) in enumerate(rows)
                for j, (c0, c) in enumerate(columns)
                if not (causal and skips) or (j <= i if by_number else seen(c0, r0, min(n, r0 + r)))
            ]
            if whole_tiles == "all":
                piece = head_dim * sum(size for _, size in (columns if algorithm == "flash 1" else rows))
            if algorithm == "flash 1":
                passes = sum(r for r, _ in met) * head_dim
                read, written = (
                    2 * piece + (2 if out_again else 1) * passes,
                    (passes if rewrites else piece) + zeros * piece,
                )
            else:
                passes = sum(c for _, c in met) * head_dim
                read = (sum(r for r, _ in met) * head_dim if q_again else piece) + (
                    2 * piece if kv_once else 2 * passes
                )
                written = piece
        return pairs(read * size(itemsize), written * size(itemsize))

    return answer
