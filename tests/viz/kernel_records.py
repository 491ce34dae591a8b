"""Records of kernels by hand, as `record_accesses` writes them."""


def access(program, op, tensor, touched, masked=(), lanes=4, hidden=0, line="x = tl.load(x_ptr + at)"):
    nbytes = 4 * sum(end - start for start, end in touched)
    return {
        "program": list(program),
        "op": op,
        "tensor": tensor,
        "touched": [list(r) for r in touched],
        "masked": [list(r) for r in masked],
        "lanes": lanes,
        "masked_lanes": hidden,
        "bytes": nbytes,
        "line": line,
    }


def by_rows():
    """Three programs, each the sum of a row of five with eight lanes; a fourth that only looks."""
    accesses = []
    for row in range(3):
        accesses.append(access([row], "load", "x", [(5 * row, 5 * row + 5)], [(5 * row + 5, 5 * row + 8)], 8, 3))
        accesses.append(access([row], "store", "out", [(row, row + 1)], lanes=1, line="tl.store(out_ptr + row, s)"))
    accesses.append(access([3], "load", "n", [(0, 1)], lanes=1))
    tensors = {
        "x": {"shape": [3, 5], "itemsize": 4},
        "out": {"shape": [3], "itemsize": 4},
        "n": {"shape": [], "itemsize": 4},
        "spare": {"shape": [9], "itemsize": 4},
    }
    return {"kernel": "row_sum", "grid": [4], "tensors": tensors, "accesses": accesses}


def in_blocks(side=6, size=16):
    """A grid of programs, each a tile of `size` by `size` of a matrix, read a second time by its left neighbour."""
    cols = side * size

    def tile(i, j):
        starts = [(i * size + r) * cols + j * size for r in range(size)]
        return [(start, start + size) for start in starts]

    accesses = []
    for i in range(side):
        for j in range(side):
            accesses += [access([i, j], "load", "a", tile(i, j), lanes=size * size)] + [
                access([i, j], "load", "a", tile(i, j + 1), lanes=size * size)
            ] * (j + 1 < side)
            accesses.append(access([i, j], "store", "b", tile(i, j), lanes=size * size))
    shape = {"shape": [cols, cols], "itemsize": 4}
    return {"kernel": "tiles", "grid": [side, side], "tensors": {"a": shape, "b": shape}, "accesses": accesses}
