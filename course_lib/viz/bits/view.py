"""Caches of fewer bits and with windows, side by side: bytes, error, answers, and what the newest token sees."""

from course_lib.viz.kit.base import View
from course_lib.viz.kit.inputs import index_or_none

from .model import bits_data


def cache_by_bits(caches, stretches, *, title="The cache by bits", subtitle=None):
    """A row for each cache; a step of the view is one cache. Below: which tokens the newest one sees.

    caches: list of dicts {"name", "bytes" (of a sequence as long as the last stretch), "error" (of the logits),
        "perplexity", "right": answers that are right in each stretch} and, where there is one, "window" and "sinks".
        Shares are of the first.
    stretches: list of (up to so many tokens between a fact and its answer, questions), the nearest first.
    title, subtitle: of the view. `selected` is the number of a stretch, from 0, or None. Raises ParameterError for what
    does not fit together.
    """
    return CacheByBits(bits_data(caches, stretches, title, subtitle))


class CacheByBits(View):
    """See `cache_by_bits`."""

    name = "bits"
    noun = "caches side by side"

    def check_selected(self, selected):
        return index_or_none(selected, len(self.data["stretches"]), "distance")

    def _rows(self, step):
        return self.data["rows"][:step]

    def _poster(self):
        return self.last

    def _paint(self, step):
        from .still import paint

        return paint(self.data, step, self.selected)
