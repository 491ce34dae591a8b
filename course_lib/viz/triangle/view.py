"""The recomputation triangle: what goes through the model in each step, and how much of it went through before."""

from course_lib.viz.kit.base import View
from course_lib.viz.kit.inputs import index_or_none

from .model import triangle_data


def recomputation_triangle(tokens, steps, *, prompt_tokens):
    """A row a step, a column a token: solid where a token goes through the model first, hatched where it goes again.

    tokens: list[str], the text of every position, prompt first.
    steps: list of half-open ranges (start, end) of positions computed, one a step. Without a cache they
        are (0, p), (0, p + 1), …; with one, (0, p), (p, p + 1), ….
    prompt_tokens: how many of `tokens` are the prompt.
    `selected` is a position (int) or None. Raises ParameterError for anything that does not fit together.
    """
    return RecomputationTriangle(triangle_data(tokens, steps, prompt_tokens))


class RecomputationTriangle(View):
    """See `recomputation_triangle`."""

    name = "triangle"
    noun = "recomputation triangle"

    def check_selected(self, selected):
        return index_or_none(selected, len(self.data["tokens"]), "position")

    def _poster(self):
        return self.last  # the whole triangle says more than its first row

    def _rows(self, step):
        data = self.data
        ranges = zip(data["steps"], data["fresh"], data["computed"], data["needed"])
        return [
            [index + 1, f"{start}–{end - 1}", end - start, new, end - start - new, computed, needed]
            for index, ((start, end), new, computed, needed) in enumerate(ranges)
        ][:step]

    def _paint(self, step):
        from .still import paint

        return paint(self.data, step)
