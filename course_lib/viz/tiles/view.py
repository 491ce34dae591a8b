"""Attention tile by tile: which are loaded, computed and skipped, in the order of an algorithm; the bytes moved."""

from course_lib.errors import ParameterError
from course_lib.viz.kit.base import View

from .model import output_cell, real, span, tiles_data


def tiles_view(algorithm, num_queries, num_keys, watch, events):
    """The matrix of queries by keys, cut into tiles, as `course_lib.attention.record_tiles` recorded one head.

    algorithm: its name. watch: the query whose running maximum, sum and output are shown. events: dicts with `kind`,
    `rows` and `cols` (half-open ranges), `row` (None, or the `maximum`, `sum` and `output` of `watch`), and bytes
    `read` and `written` so far. `selected` is a tile (row, column), counted in tiles, or None. Raises ParameterError
    for anything that does not fit together.
    """
    return TilesView(tiles_data(algorithm, num_queries, num_keys, watch, events))


class TilesView(View):
    """See `tiles_view`."""

    name = "tiles"
    noun = "view of tiles"

    def check_selected(self, selected):
        sides = len(self.data["rows"]), len(self.data["cols"])
        if selected is None:
            return None
        tile = list(selected) if isinstance(selected, (list, tuple)) else []
        if len(tile) == 2 and all(type(x) is int and 0 <= x < n for x, n in zip(tile, sides)):
            return tile
        raise ParameterError(
            f"selected = {selected!r} is no tile; there are {sides[0]} rows and {sides[1]} columns of them. "
            "Give (row, column), counted from 0, or None for no selection."
        )

    def _rows(self, step):
        data, rows = self.data, []
        for index, (kind, i, i_end, j, j_end) in enumerate(data["events"][:step]):
            known = data["row"][index]
            watched = [*map(real, known[:2]), output_cell(data, index)] if known else ["", "", ""]
            where = [kind, span(data["rows"], i, i_end), span(data["cols"], j, j_end)]
            rows.append([index + 1, *where, data["read"][index], data["written"][index], *watched])
        return rows

    def _poster(self):
        return max(1, round(0.62 * self.last))  # some tiles are done, some skipped, some to come

    def _paint(self, step):
        from .still import paint

        return paint(self.data, step)
