"""A count for each second of a run, in 8 bytes a second, so that a run can last for days."""

from array import array

PAGE = 4096


class PerSecond:
    """Whole numbers by second, 0 where nothing was added. Seconds may come in any order."""

    def __init__(self):
        self._pages = {}  # second // PAGE -> counts

    def add(self, second, count):
        """`count` more in this second, an int."""
        page, at = divmod(second, PAGE)
        if page not in self._pages:
            self._pages[page] = array("q", [0]) * PAGE
        self._pages[page][at] += count

    def highest(self):
        """The highest count of a second; at least 0."""
        return max((max(page) for page in self._pages.values()), default=0)

    def highest_sum(self):
        """The highest sum of all counts from the first second to any other; at least 0."""
        highest = total = 0
        for page in sorted(self._pages):
            for count in self._pages[page]:
                total += count
                highest = max(highest, total)
        return highest
