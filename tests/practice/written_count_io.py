"""Wrong answers to 06.count_io as people write them; see written_otherwise.py."""

import math

from course_lib.practice.lessons.l06.count_io import count_io


def io_turned(algorithm, n, head_dim, tile, itemsize, causal):
    read, written = count_io(algorithm, n, head_dim, tile, itemsize, causal)
    return written, read


def io_float32(algorithm, n, head_dim, tile, itemsize, causal):
    return count_io(algorithm, n, head_dim, tile, 1, causal)


def io_bidirectional(algorithm, n, head_dim, tile, itemsize, causal):
    return count_io(algorithm, n, head_dim, tile, itemsize, False)


def io_with_zeros(algorithm, n, head_dim, tile, itemsize, causal):
    read, written = count_io(algorithm, n, head_dim, tile, itemsize, causal)
    return read, written + (algorithm == "flash 1") * n * head_dim * itemsize


def io_one_pair(algorithm, n, head_dim, tile, itemsize, causal):
    """Leaves out tiles in which only the last row sees the first column."""
    read, written = count_io(algorithm, n, head_dim, tile, itemsize, causal)
    pairs = [
        (r, c) for r in range(0, n, tile[0]) for c in range(0, n, tile[1]) if causal and c == min(r + tile[0], n) - 1
    ]
    rows, columns = (
        sum(min(tile[0], n - r) for r, _ in pairs) * head_dim * itemsize,
        sum(min(tile[1], n - c) for _, c in pairs) * head_dim * itemsize,
    )
    return {
        "standard": (read, written),
        "flash 1": (read - 2 * rows, written - rows),
        "flash 2": (read - 2 * columns, written),
    }[algorithm]


def io_other(algorithm, n, head_dim, tile, itemsize, causal):
    return count_io(
        {"flash 1": "flash 2", "flash 2": "flash 1"}.get(algorithm, algorithm), n, head_dim, tile, itemsize, causal
    )


def io_flops(algorithm, n, head_dim, tile, itemsize, causal):
    return 4 * n * n * head_dim, 0


def io_no_division(algorithm, n, head_dim, tile, itemsize, causal):
    """Rounds the number of tiles up, and counts each as a full one."""
    read, written = 0, 0
    if algorithm == "standard":
        return count_io(algorithm, n, head_dim, tile, itemsize, causal)
    rows, columns = math.ceil(n / tile[0]), math.ceil(n / tile[1])
    met = sum(not causal or j * tile[1] < min(n, (i + 1) * tile[0]) for i in range(rows) for j in range(columns))
    if algorithm == "flash 1":
        read, written = 2 * n + 2 * met * tile[0], met * tile[0]
    else:
        read, written = n + 2 * met * tile[1], n
    return read * head_dim * itemsize, written * head_dim * itemsize


def io_keys_alone(algorithm, n, head_dim, tile, itemsize, causal):
    """Forgets the values of the first FlashAttention."""
    read, written = count_io(algorithm, n, head_dim, tile, itemsize, causal)
    return read - (n * head_dim * itemsize if algorithm == "flash 1" else 0), written


CASES = {
    "06.count_io": [
        ("read and written are exchanged", io_turned),
        ("numbers are counted", io_float32),
        ("above the diagonal are moved", io_bidirectional),
        ("two algorithms are exchanged", io_other),
        ("counted as a full one", io_no_division),
        (None, io_flops),
        ("initial zeros of the output", io_with_zeros),
        ("on the diagonal are skipped", io_one_pair),
        ("too few are read", io_keys_alone),
    ]
}
