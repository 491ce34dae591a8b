"""The exercise 11.priority: a policy in which the most important request goes first, also before running requests."""

from bisect import insort
from collections import deque

from course_lib.engine import Policy
from course_lib.practice.judge.exercise import Exercise, Property

from .priority_mistakes import MISTAKES
from .priority_trials import KEYS, ORDERS, OUTRANKS, drawn, script
from .solutions.priority import ImportantFirst


class ByLevels(Policy):
    """A queue for each priority."""

    def __init__(self):
        self.lines = {}

    def key(self, request):
        return [request.priority, request.arrival, request.number]

    def push(self, request, *, returning=False):
        line = self.lines.setdefault(request.priority, deque())
        line.append(request)
        self.lines[request.priority] = deque(sorted(line, key=lambda r: (r.arrival, r.number)))

    def peek(self):
        levels = [level for level, line in self.lines.items() if line]
        return self.lines[min(levels)][0] if levels else None

    def pop(self):
        request = self.peek()
        self.remove(request)
        return request

    def remove(self, request):
        self.lines[request.priority].remove(request)

    def __len__(self):
        return sum(map(len, self.lines.values()))

    def order(self, running):
        levels = sorted({r.priority for r in running})
        by_arrival = sorted(running, key=lambda r: r.arrival)
        return [r for level in levels for r in by_arrival if r.priority == level]

    def outranks(self, waiting, running):
        return min(waiting.priority, running.priority) != running.priority


class OneSortedList(Policy):
    """A list that stays sorted."""

    def __init__(self):
        self.sorted = []

    def key(self, request):
        return request.priority, request.arrival

    def push(self, request, *, returning=False):
        insort(self.sorted, request, key=lambda r: (r.priority, r.arrival, r.number))

    def peek(self):
        return next(iter(self.sorted), None)

    def pop(self):
        return self.sorted.pop(0)

    def remove(self, request):
        self.sorted.remove(request)

    def __len__(self):
        return len(self.sorted)

    def order(self, running):
        running = list(running)
        running.sort(key=lambda r: r.arrival)
        running.sort(key=lambda r: r.priority)  # stable: equals keep their order
        return running

    def outranks(self, waiting, running):
        return running.priority - waiting.priority > 0


PRIORITY = Exercise(
    id="11.priority",
    title="The most important first",
    name="ImportantFirst",
    cases="scripts",
    properties=[
        Property(
            "`key` compares priorities first, and arrivals among equals, whatever the numbers are",
            "A priority may be negative. An arrival is a time in seconds, such as 1,700,000,000.25.",
            KEYS,
        ),
        Property(
            "`order` returns a new list in the order of `key`, and `running` stays as it is",
            "The first is served first, the last is preempted first.",
            ORDERS,
        ),
        Property(
            "`outranks` is true only if the waiting request has the lower priority value, whenever it arrived",
            "Two requests of equal priority that preempt each other would compute all their tokens again and again.",
            OUTRANKS,
        ),
        Property(
            "Of the waiting requests, the lowest `priority` value is admitted first",
            "A lower value is more important, as in vLLM.",
            [
                script(("a", 0, 0, 2, 3), ("b", 0, 2, 2, 1), ("c", 0, 1, 2, 1)),
                script(("a", 0, 0, 2, 3), ("b", 1, 5, 2, 1), ("c", 1, 0, 2, 1)),
                script(("a", 0, 0, 2, 4), ("b", 0, 3, 2, 1), ("c", 1, 2, 2, 1), ("d", 2, 1, 2, 1)),
                script(("a", 0, 0, 2, 3), ("b", 0, 1, 2, 1), ("c", 0, 2, 2, 1)),
                script(("a", 0, 0, 2, 3), ("b", 0, 10, 2, 1), ("c", 0, 9, 2, 1)),
                script(("a", 0, 0, 2, 14), ("b", 0, 1, 2, 1), ("c", 12, 0, 2, 1)),
            ],
        ),
        Property(
            "Among equals, the request that arrived first is admitted first",
            "If all have the same priority, this is first come, first served.",
            [
                script(("a", 0, 1, 2, 3), ("b", 1, 1, 2, 1), ("c", 2, 1, 2, 1)),
                script(("a", 0, 1, 2, 4), ("b", 2, 1, 2, 1), ("c", 1, 1, 2, 1)),
                script(("a", 0, 1, 2, 5), ("b", 3, 1, 2, 1), ("c", 2, 1, 2, 1), ("d", 1, 1, 2, 1)),
            ],
        ),
        Property(
            "A waiting request preempts a running one that is less important",
            "It takes its place at once. Otherwise one long unimportant request delays all important ones: "
            "priority inversion.",
            [
                script(("a", 0, 1, 2, 6), ("b", 2, 0, 2, 2)),
                script(("a", 0, 5, 2, 4), ("b", 1, 1, 2, 2), ("c", 2, 0, 2, 1)),
                script(("a", 0, 0, 2, 6), ("b", 0, 3, 2, 6), ("c", 2, 1, 2, 2), max_num_seqs=2),
                script(("a", 0, 2, 2, 5), ("b", 0, 1, 2, 5), ("c", 2, 0, 2, 2), max_num_seqs=2),
            ],
        ),
        Property(
            "A waiting request does not preempt one of equal priority",
            "Two equals would preempt each other in turn, and compute all their tokens again and again.",
            [
                script(("a", 0, 1, 2, 4), ("b", 1, 1, 2, 2)),
                script(("a", 0, 0, 2, 3), ("b", 0, 0, 2, 3)),
                script(("a", 1, 1, 2, 5), ("b", 0, 1, 2, 5), ("c", 2, 1, 2, 2), max_num_seqs=2),
                script(("a", 0, 0, 2, 4), ("b", 1, 1, 2, 2), ("c", 2, 2, 2, 2)),
            ],
        ),
        Property(
            "The least important running request is preempted; of equals, the one that arrived last",
            "`order` puts it at the end, and the scheduler preempts from the end.",
            [
                script(("a", 0, 1, 2, 5), ("b", 0, 2, 2, 5), ("c", 2, 0, 2, 2), max_num_seqs=2),
                script(("a", 0, 2, 2, 5), ("b", 1, 1, 2, 5), ("c", 2, 0, 2, 2), max_num_seqs=2),
                script(("a", 0, 1, 2, 6), ("b", 1, 1, 2, 6), ("c", 3, 0, 2, 2), max_num_seqs=2),
                script(("a", 0, 1, 2, 6), ("b", 1, 3, 2, 6), ("c", 1, 2, 2, 6), ("d", 3, 0, 2, 2), max_num_seqs=3),
            ],
        ),
        Property(
            "When memory or budget is short, the most important requests go on",
            "The same order says which request is served first and which is preempted.",
            [
                script(("a", 0, 1, 6, 8), ("b", 0, 0, 6, 8), max_num_seqs=2, num_blocks=8, block_size=2),
                script(("a", 0, 1, 6, 8), ("b", 0, 1, 6, 8), max_num_seqs=2, num_blocks=8, block_size=2),
                script(("a", 0, 2, 9, 2), ("b", 1, 0, 6, 2), max_num_seqs=2, max_num_batched_tokens=3),
                script(
                    ("a", 0, 2, 4, 6), ("b", 1, 1, 4, 6), ("c", 2, 0, 4, 6), max_num_seqs=3, num_blocks=8, block_size=2
                ),
            ],
        ),
        Property(
            "In random scripts, every step is the same",
            "Requests of all kinds, a low `max_num_seqs`, little memory, and a small budget.",
            drawn(24, 5),
        ),
    ],
    mistakes=MISTAKES,
    hints=[
        "`key` may return a tuple. Tuples are compared from the left, so the more important value comes first.",
        "`order` is the same order for the running requests: the first is served first, the last is preempted. "
        "`sorted(running, key=self.key)` leaves `running` as it is.",
        "`outranks` is True only where the waiting request is more important: its priority value is smaller, not "
        "equal.",
    ],
    rights=[ImportantFirst, ByLevels, OneSortedList],
    why="One order decides which request is admitted, served and preempted, so these decisions cannot contradict each "
    "other. vLLM's `priority` policy is the same: the lowest value first, then the arrival, and the last of that "
    "order is preempted when memory is short. That a waiting request preempts a running one before memory is "
    "short exists only in this engine.",
)
