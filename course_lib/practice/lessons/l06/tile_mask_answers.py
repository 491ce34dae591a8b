"""Answers for 06.tile_mask: two right ones written differently, and wrong ones."""

from bisect import bisect_left, bisect_right

INF = float("inf")


def tile_by_documents(rows, cols, causal, window, documents):
    """Right: the part of the tile in each document by itself."""

    def corner(row, col):
        return (not causal or col <= row) and (window is None or abs(row - col) < window)

    first, last = min(rows[0], cols[0]), max(rows[1], cols[1])
    edges, found = [first, last], False
    if documents:
        edges = documents[max(0, bisect_right(documents, first) - 1) : bisect_left(documents, last) + 1]
    for begin, end in zip(edges, edges[1:]):
        r0, r1, c0, c1 = max(rows[0], begin), min(rows[1], end), max(cols[0], begin), min(cols[1], end)
        if r0 >= r1 or c0 >= c1:
            continue
        if (r0, r1) == tuple(rows) and (c0, c1) == tuple(cols) and corner(r0, c1 - 1) and corner(r1 - 1, c0):
            return "all"
        # the pair nearest to the diagonal
        near = (r0, c1 - 1) if r0 > c1 - 1 else (r1 - 1, c0) if c0 > r1 - 1 else (0, 0)
        found = found or corner(*near)
    return "some" if found else "none"


def wrong(
    *,
    last=1,
    causal_counts=True,
    window_counts=True,
    off=1,
    both_sides=True,
    documents_count=True,
    first_only=False,
    ends_only=False,
    merge=lambda s: s,
    swap=False,
    skipped_from=None,
    whole_from=None,
    number=bisect_right,
    itself=True,
    ends_apart=False,
    unlooked=None,
    cut=lambda x: x,
    drops=lambda causal, window, documents: (causal, window, documents),
):
    """A wrong answer: the right one with a part replaced.

    number(documents, position): that of the document. itself: whether a token sees itself.
    skipped_from, whole_from: the row and the column, as indices into `corners`, by which a causal tile is taken as
    fully masked, or as not masked at all. ends_apart: whether a tile is fully masked where neither the first nor the
    last row and column are in one document. unlooked: a corner whose document is not compared. cut(position).
    """

    def answer(rows, cols, causal, window, documents):
        if swap:
            rows, cols = cols, rows
        causal, window, documents = drops(causal, window, documents)
        corners = rows[0], rows[1] - last, cols[0], cols[1] - last
        corners = tuple(map(cut, corners))
        smallest, largest = corners[0] - corners[3], corners[1] - corners[2]
        high = INF if window is None or not window_counts else window - off
        low = 1 - itself if causal and causal_counts else -INF if causal or not both_sides else -high
        farthest = corners[skipped_from[0]] - corners[skipped_from[1]] if causal and skipped_from else largest
        nearest = corners[whole_from[0]] - corners[whole_from[1]] if causal and whole_from else smallest
        if smallest > high or farthest < low:
            return merge("none")
        whole = low <= nearest and largest <= high
        if documents is not None and documents_count:
            numbers = [number(documents, at) for at in corners]
            if ends_apart and numbers[0] != numbers[2] and numbers[1] != numbers[3]:
                return merge("none")
            if first_only:
                numbers = [numbers[0], numbers[0], numbers[2], numbers[2]]
            if numbers[1] < numbers[2] or numbers[3] < numbers[0]:
                return merge("none")
            if unlooked is not None:
                del numbers[unlooked]
            whole = whole and (numbers[:2] == numbers[2:] if ends_only else len(set(numbers)) == 1)
        return merge("all" if whole else "some")

    return answer


def all_edge(rows, cols, causal, window, documents):
    """Tests one corner only: the first row and the first column."""
    row, col = rows[0], cols[0]
    seen = (not causal or col <= row) and (window is None or abs(row - col) < window)
    same = not documents or bisect_right(documents, row) == bisect_right(documents, col)
    return "all" if seen and same else "none"


def pair_by_pair(rows, cols, causal, window, documents):
    pairs = [(r, c) for r in range(*rows) for c in range(*cols)]
    seen = [
        (not causal or c <= r)
        and (window is None or abs(r - c) < window)
        and (not documents or sum(e <= r for e in documents) == sum(e <= c for e in documents))
        for r, c in pairs
    ]
    return "all" if all(seen) else "some" if any(seen) else "none"
