"""The recomputation triangle: what goes through the model in each step, and how much of it went through before."""

from itertools import accumulate

from course_lib.errors import ParameterError
from course_lib.viz.kit import still as static
from course_lib.viz.kit.base import View
from course_lib.viz.kit.still import label


def recomputation_triangle(tokens, steps, *, prompt_tokens):
    """A row a step, a column a token: solid where a token goes through the model first, hatched where it goes again.

    tokens: list[str], the text of every position, prompt first.
    steps: list of half-open ranges (start, end) of positions pushed through the model, one a step. Without a cache
        they are (0, p), (0, p + 1), …; with one, (0, p), (p, p + 1), ….
    prompt_tokens: how many of `tokens` are the prompt.
    `selected` is a position (int) or None. Raises ParameterError for anything that does not fit together.
    """
    tokens, steps = list(tokens), [tuple(step) for step in steps]
    _check(tokens, steps, prompt_tokens)
    first_pass = [None] * len(tokens)  # position -> index of the step that computed it first
    fresh = []
    for index, (start, end) in enumerate(steps):
        new = [position for position in range(start, end) if first_pass[position] is None]
        for position in new:
            first_pass[position] = index
        fresh.append(len(new))
    pushed = [end - start for start, end in steps]
    return RecomputationTriangle(
        {
            "title": "Tokens through the model",
            "subtitle": f"{_count(prompt_tokens, 'prompt token')}, {_count(len(steps), 'step')}",
            "first": 1,
            "last": len(steps),
            "tokens": tokens,
            "labels": [label(token) for token in tokens],
            "steps": [list(step) for step in steps],
            "prompt_tokens": prompt_tokens,
            "first_pass": first_pass,
            "fresh": fresh,
            "pushed": list(accumulate(pushed)),
            "needed": list(accumulate(fresh)),
            "columns": [
                "step",
                "positions",
                "tokens through the model",
                "new",
                "computed before",
                "pushed so far",
                "needed so far",
            ],
            "say": [
                _words(index + 1, *row)
                for index, row in enumerate(zip(pushed, fresh, accumulate(pushed), accumulate(fresh)))
            ],
        }
    )


class RecomputationTriangle(View):
    """See `recomputation_triangle`."""

    name = "triangle"
    noun = "recomputation triangle"

    def check_selected(self, selected):
        if selected is None or (type(selected) is int and 0 <= selected < len(self.data["tokens"])):
            return selected
        raise ParameterError(
            f"selected = {selected!r} is no position; there are positions 0 to {len(self.data['tokens']) - 1}. "
            "Give one of them, or None for no selection."
        )

    def _poster(self):
        return self.last  # at rest the whole triangle says more than its first row

    def _rows(self, step):
        data = self.data
        ranges = zip(data["steps"], data["fresh"], data["pushed"], data["needed"])
        return [
            [index + 1, f"{start}–{end - 1}", end - start, new, end - start - new, pushed, needed]
            for index, ((start, end), new, pushed, needed) in enumerate(ranges)
        ][:step]

    def _paint(self, step):
        return _Painter(self.data, step).figure


def _count(number, noun):
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _words(step, pushed, new, all_pushed, all_needed):
    before = pushed - new
    again = "none of them computed before" if not before else f"{before} of them computed before"
    return [
        ["strong", f"Step {step}:"],
        [
            "",
            f" {_count(pushed, 'token')} through the model, {again}. So far {all_pushed:,} pushed, {all_needed:,} needed",
        ],
        ["", "." if all_pushed == all_needed else f": {all_pushed / all_needed:.1f} times the work."],
    ]


def _check(tokens, steps, prompt_tokens):
    if not tokens or not steps:
        missing = "tokens" if not tokens else "steps"
        raise ParameterError(
            f"`{missing}` is empty, so there is nothing to draw. Give at least one token and one step."
        )
    for position, token in enumerate(tokens):
        if not isinstance(token, str):
            raise ParameterError(
                f"tokens[{position}] is {token!r}, but a view shows text. Pass the text of each token, for example "
                "[tokenizer.token_text(i) for i in token_ids]."
            )
    if type(prompt_tokens) is not int or not 1 <= prompt_tokens <= len(tokens):
        raise ParameterError(
            f"prompt_tokens = {prompt_tokens!r} with {len(tokens)} tokens: the prompt is a part of `tokens`. "
            f"Give a whole number from 1 to {len(tokens)}."
        )
    for index, step in enumerate(steps):
        if len(step) != 2 or not all(isinstance(edge, int) for edge in step):
            raise ParameterError(f"steps[{index}] is {step!r}; a step is a half-open range of positions, (start, end).")
        start, end = step
        if not 0 <= start < end <= len(tokens):
            raise ParameterError(
                f"steps[{index}] = ({start}, {end}) does not lie inside the {len(tokens)} tokens or is empty; positions are "
                f"half-open ranges with 0 <= start < end <= {len(tokens)}. Check where the range is counted from."
            )


class _Painter:
    """Draws one step with matplotlib; the same picture as triangle.js, in light colours."""

    def __init__(self, data, step):
        self.data, self.step, self.colour = data, step, static.palette()
        count, rows = len(data["tokens"]), len(data["steps"])
        self.left, right = 104, 96
        self.cell = min(46, (static.WIDTH * static.SHOWN_DPI - self.left - right) / count)
        self.row = max(1.2, min(26, 430 / rows))
        self.gap = 2 if self.cell >= 10 and self.row >= 10 else 0
        self.wide = max(len(text) for text in data["labels"]) * 7.4 < self.cell
        longest = max(min(11, len(text)) for text in data["labels"])
        self.top = 138 if self.cell < 12 or self.wide else 118 + longest * 5.6
        self.bottom = self.top + rows * self.row
        self.figure, self.axes = static.figure(self.bottom + 106)
        static.title(self.axes, data)
        self._legend()
        self._columns()
        for index in range(rows):
            self._line(index)
        self._rulers()
        self._now()
        static.say(self.axes, self.bottom + 18, "".join(text for _, text in data["say"][step - 1]))
        self._totals()

    def _x(self, position):
        return self.left + position * self.cell

    def _run(self, start, end, index, **look):
        """Positions [start, end) of one row: single cells where they are large enough to be told apart."""
        gap, y = self.gap, self.top + index * self.row
        edges = [(p, p + 1) for p in range(start, end)] if gap else [(start, end)] if end > start else []
        for a, b in edges:
            static.box(
                self.axes,
                self._x(a) + gap / 2,
                y + gap / 2,
                (b - a) * self.cell - gap,
                self.row - gap,
                radius=gap,
                **look,
            )

    def _line(self, index):
        data, colour = self.data, self.colour
        start, end = data["steps"][index]
        if index >= self.step:
            self._run(start, end, index, facecolor=colour["free"])
            return
        for position, stop, new in runs(data["first_pass"], index, start, end):
            if new:
                self._run(position, stop, index, facecolor=colour["r0"])
            else:
                self._run(
                    position, stop, index, **{**static.hatched(colour["r1"]), "linewidth": 0.9 if self.gap else 0}
                )
        computed = [position for position in range(start) if (data["first_pass"][position] or 0) < index]
        if computed and self.row >= 4:
            y = self.top + (index + 0.5) * self.row
            self.axes.plot([self._x(0) + 3, self._x(len(computed)) - 3], [y, y], color=colour["faint"], linewidth=0.8)
        if self.row >= 12:
            self._numbers(index, weight="bold" if index + 1 == self.step else "normal")

    def _numbers(self, index, **look):
        y = self.top + (index + 0.5) * self.row
        start, end = self.data["steps"][index]
        static.write(self.axes, 46, y, str(index + 1), size=11.5, colour="soft", ha="right", family="monospace", **look)
        static.write(self.axes, 92, y, str(end - start), size=11.5, ha="right", family="monospace", **look)
        if end < len(self.data["tokens"]):
            text = "→ " + static.shortened(self.data["labels"][end], 11)
            static.write(self.axes, self._x(end) + 6, y, text, size=11.5, family="monospace", **look)

    def _columns(self):
        data, y = self.data, self.top - 8
        for x, text in ((46, "step"), (92, "tokens")):
            static.write(self.axes, x, y + 2, text, size=11, colour="soft", ha="right", va="bottom")
        split, count = data["prompt_tokens"], len(data["tokens"])
        for start, end, text in ((0, split, "PROMPT"), (split, count, "GENERATED")):
            if end > start:
                self.axes.plot([self._x(start) + 1, self._x(end) - 1], [96, 96], color=self.colour["soft"], linewidth=1)
                if (end - start) * self.cell > 70:
                    static.write(self.axes, self._x(start), 86, text, size=10, colour="soft", weight="bold")
        if self.cell < 12:
            every = next(n for n in (5, 10, 20, 50, 100, 200, 500, 10**6) if n * self.cell >= 34)
            for position in range(0, count, every):
                static.write(self.axes, self._x(position), y, str(position), size=10.5, colour="soft", va="bottom")
            return
        for position, text in enumerate(data["labels"]):
            look = {"ha": "center"} if self.wide else {"rotation": 50, "rotation_mode": "anchor"}
            colour = "soft" if position < split else "ink"
            static.write(
                self.axes,
                self._x(position + 0.5),
                y,
                static.shortened(text, 11),
                size=11.5,
                colour=colour,
                va="bottom" if self.wide else "baseline",
                family="monospace",
                **look,
            )

    def _rulers(self):
        """Step numbers beside rows too thin for one each."""
        every = next(n for n in (5, 10, 20, 50, 100, 200, 500, 10**6) if n * self.row >= 30)
        for index in range(every - 1, len(self.data["steps"]) if self.row < 12 else 0, every):
            if abs(index + 1 - self.step) * self.row > 16:
                y = self.top + (index + 0.5) * self.row
                static.write(self.axes, 46, y, str(index + 1), size=11, colour="soft", ha="right", family="monospace")

    def _now(self):
        start, end = self.data["steps"][self.step - 1]
        y = self.top + (self.step - 1) * self.row
        out = 0.5 if self.gap else 2
        static.box(
            self.axes,
            self._x(start) - out,
            y - out,
            (end - start) * self.cell + 2 * out,
            self.row + 2 * out,
            radius=min(4, self.row / 2),
            facecolor="none",
            edgecolor=self.colour["ink"],
            linewidth=1.2,
        )
        if self.row < 12:
            self._numbers(self.step - 1, weight="bold")

    def _legend(self):
        data, colour = self.data, self.colour
        entries = [("new", {"facecolor": colour["r0"]})]
        if data["pushed"][-1] > data["needed"][-1]:
            entries.append(("computed before", static.hatched(colour["r1"])))
        if any(start > 0 for start, _ in data["steps"]):
            entries.append(("kept, not pushed", "—"))
        if self.step < data["last"]:
            entries.append(("still to come", {"facecolor": colour["free"]}))
        if any(end < len(data["tokens"]) for _, end in data["steps"]):
            entries.append(("token chosen", "→"))
        static.legend(self.axes, entries)

    def _totals(self):
        """Two bars on one scale: what was pushed, and what was needed."""
        data, y = self.data, self.bottom + 62
        pushed, needed = data["pushed"][self.step - 1], data["needed"][self.step - 1]
        scale = 640 / data["pushed"][-1]
        look = static.hatched(self.colour["r1"])
        for text, number, offset in (("pushed", pushed, 0), ("needed", needed, 18)):
            static.write(self.axes, 92, y + offset + 7, text, size=12, colour="soft", ha="right")
            static.box(self.axes, self.left, y + offset, needed * scale, 13, facecolor=self.colour["r0"])
            if number > needed:
                static.box(self.axes, self.left + needed * scale, y + offset, (pushed - needed) * scale, 13, **look)
            static.write(
                self.axes, self.left + number * scale + 8, y + offset + 7, f"{number:,}", size=12, family="monospace"
            )


def runs(first_pass, index, start, end):
    """Cuts positions [start, end) of step `index` into (start, end, is_new) stretches."""
    cut = start
    for position in range(start + 1, end + 1):
        if position == end or (first_pass[position] == index) != (first_pass[cut] == index):
            yield cut, position, first_pass[cut] == index
            cut = position
