"""Which key a query may see, for one pair and for a whole tile of pairs."""

from bisect import bisect_right
from dataclasses import dataclass

from course_lib.errors import ParameterError

NONE, SOME, ALL = "none", "some", "all"
"""How many pairs of a tile are visible: none (it is skipped), some (it is masked), all (it needs no mask)."""


@dataclass(frozen=True)
class Mask:
    """A query sees a key when both are in the same document and their distance is allowed.

    Distance is the query's position minus the key's: 0 is the token itself, 1 the token before it. Causal attention
    allows distances from 0 on. A sliding window of w tokens (Mistral, arXiv 2310.06825) allows 0 to w - 1 with a causal
    mask: a token sees itself and w - 1 before it. Without a causal mask, it sees w - 1 tokens to both sides.
    Bidirectional attention allows every distance.

    A tile of rows [r0, r1) and columns [c0, c1) holds every distance from r0 - (c1 - 1) to (r1 - 1) - c0. Its corners
    tell whether the mask hides none, some or all of it, and no matrix is made:

        keys →   c0      c1
        r0        · · · ·      smallest distance: top right
        r1        · · · ·      largest distance: bottom left
    """

    causal: bool = True
    window: int | None = None
    """Tokens in a sliding window, the query's own among them; None for no window."""
    cu_seqlens: tuple[int, ...] | None = None
    """Where each document of a packed sequence begins, and the end: (0, 5, 12) is one of 5 and one of 7 tokens."""
    start: int = 0
    """Position of row 0 among the keys: the number of keys before the first query."""

    def __post_init__(self):
        if type(self.causal) is not bool:
            raise ParameterError(
                f"causal = {self.causal!r}. Give True, where a token sees itself and those before it, or False."
            )
        if self.window is not None and (type(self.window) is not int or self.window < 1):
            raise ParameterError(
                f"window = {self.window!r}, but a token sees at least itself. Give 1 or more, or None for no window."
            )
        edges = self.cu_seqlens
        if edges is not None and (len(edges) < 2 or edges[0] != 0 or any(a > b for a, b in zip(edges, edges[1:]))):
            raise ParameterError(
                f"cu_seqlens = {list(edges)} does not divide a sequence into documents. It begins with 0, never "
                "decreases, and ends with the number of tokens, such as [0, 5, 12] for documents of 5 and 7."
            )

    @property
    def distances(self):
        """(smallest, largest) allowed distance; infinite where there is no limit."""
        reach = float("inf") if self.window is None else self.window - 1
        return (0 if self.causal else -reach), reach

    def sees(self, rows, cols, device=None):
        """Which pairs of a tile are visible: bool [rows, cols].

        rows, cols: half-open (start, end); rows are counted from the first query.
        """
        import torch

        row = torch.arange(*rows, device=device)[:, None] + self.start
        col = torch.arange(*cols, device=device)[None, :]
        low, high = self.distances
        seen = (row - col >= low) & (row - col <= high)
        if self.cu_seqlens is not None:
            inner = torch.tensor(self.cu_seqlens[1:-1], device=device, dtype=torch.long)
            document = [torch.bucketize(x, inner, right=True) for x in (row, col)]
            seen &= document[0] == document[1]
        return seen

    def tile(self, rows, cols):
        """NONE, SOME or ALL: how many pairs of the tile are visible. rows, cols: half-open (start, end).

        Distance and documents are checked one after the other. This is exact: if a tile has pairs within one document,
        the pair nearest to the diagonal is among them, and if any pair has an allowed distance, that one has.
        """
        rows = rows[0] + self.start, rows[1] + self.start
        low, high = self.distances
        smallest, largest = rows[0] - (cols[1] - 1), rows[1] - 1 - cols[0]
        if rows[0] >= rows[1] or cols[0] >= cols[1] or smallest > high or largest < low:
            return NONE
        whole = low <= smallest and largest <= high
        if self.cu_seqlens is not None:
            (first_row, last_row), (first_col, last_col) = (
                [bisect_right(self.cu_seqlens, at) for at in (x[0], x[1] - 1)] for x in (rows, cols)
            )
            if last_row < first_col or last_col < first_row:
                return NONE
            whole &= first_row == last_row == first_col == last_col
        return ALL if whole else SOME
