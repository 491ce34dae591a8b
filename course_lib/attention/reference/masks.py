"""Who may see whom, for one pair of tokens and for a whole tile of pairs."""

from bisect import bisect_right
from dataclasses import dataclass

from course_lib.errors import ParameterError

NONE, SOME, ALL = "none", "some", "all"
"""What a tile holds: no visible pair (it is skipped), some (it is masked), all (it needs no mask)."""


@dataclass(frozen=True)
class Mask:
    """A query sees a key when both are in the same document and their distance is allowed.

    Distance is the query's position less the key's: 0 is the token itself, 1 the token before it. Causal attention
    allows distances of 0 and more. A sliding window of w tokens (Mistral, arXiv 2310.06825) allows 0 to w - 1 under a
    causal mask: a token sees itself and w - 1 before it. Without one, it reaches w - 1 tokens to both sides.
    Bidirectional attention allows every distance.

    A tile of rows [r0, r1) and columns [c0, c1) holds every distance from r0 - (c1 - 1) to (r1 - 1) - c0. So what it
    holds is told from its corners, and no matrix is made:

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
    """Position of row 0 among the keys: so many keys were there before the first query."""

    def __post_init__(self):
        if type(self.causal) is not bool:
            raise ParameterError(
                f"causal = {self.causal!r}. Give True, where a token sees itself and what is before it, or False."
            )
        if self.window is not None and (type(self.window) is not int or self.window < 1):
            raise ParameterError(
                f"window = {self.window!r}, but a token sees at least itself. Give 1 or more, or None for no window."
            )
        edges = self.cu_seqlens
        if edges is not None and (len(edges) < 2 or edges[0] != 0 or any(a > b for a, b in zip(edges, edges[1:]))):
            raise ParameterError(
                f"cu_seqlens = {list(edges)} does not cut a sequence into documents. It starts with 0, never falls, and "
                "ends with the number of tokens, such as [0, 5, 12] for documents of 5 and 7."
            )

    @property
    def distances(self):
        """(smallest, largest) distance that may be seen; infinite where nothing limits it."""
        reach = float("inf") if self.window is None else self.window - 1
        return (0 if self.causal else -reach), reach

    def sees(self, rows, cols, device=None):
        """The pairs of a tile, bool [rows, cols]. rows, cols: half-open (start, end); rows counted from the first query."""
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
        """NONE, SOME or ALL of the tile's pairs may be seen. rows, cols: half-open (start, end).

        Distance and documents can be asked one by one: if a tile has pairs of one document at all, the one nearest to
        the diagonal is among them, and of all pairs that one is the likeliest to be allowed.
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
