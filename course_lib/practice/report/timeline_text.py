"""What happened to each request, step by step, as plain text: rows of requests, columns of steps."""

from dataclasses import dataclass, field

LETTERS = {
    "W": "waits",
    "P": "computes its prompt",
    "D": "decodes",
    "X": "is preempted, and waits again",
    "S": "is swapped out",
    "F": "has finished",
    "A": "was aborted",
    "-": "gets no tokens",
}
"""What a request does in a step. An empty cell: it has not arrived yet, or has left."""
WIDEST = 40
"""Characters in a line, so that two timelines fit side by side. Earlier steps are left out where there is no room."""


@dataclass
class Timeline:
    """A column for each step, and in it a cell for each request: "P4", a letter and maybe a number."""

    columns: list = field(default_factory=list)
    """(cells, rows below): {"a": "P4"} and {"free blocks": 3}, for each step."""
    numbers: dict = field(default_factory=dict, compare=False)
    """{letter: words with {n}}, where an exercise counts something else than tokens."""
    signs: dict = field(default_factory=dict, compare=False)
    """{sign: words}, for a sign that may stand behind the number of a cell."""

    def column(self, cells, below=()):
        """Adds a step. cells: {request: "P4"} of the requests that are there. below: {what: value} of the step."""
        self.columns.append((dict(cells), dict(below)))

    @classmethod
    def of_trace(cls, trace):
        """The Timeline of what an engine or a scheduler recorded. "P4": 4 tokens of the prompt are in the step."""
        steps, prompts, state = {}, {}, {}
        for record in trace.records:
            steps.setdefault(record["step"], []).append(record)
        line = cls()
        for step in range(max(steps, default=-1) + 1):
            cells = dict(state)
            for record in steps.get(step, ()):
                _cells_of(record, cells, state, prompts)
            line.column(cells)
            for name in [name for name, letter in state.items() if letter in "FA"]:
                if cells.get(name) in ("F", "A"):
                    del state[name]
        if state and all(letter in "FA" for letter in state.values()):
            line.column(state)
        return line

    def first_difference(self, other):
        """The first step that is not the same in both, or None."""
        for step in range(max(len(self.columns), len(other.columns))):
            if self.columns[step : step + 1] != other.columns[step : step + 1]:
                return step
        return None

    def text(self, until=None, other=None):
        """Rows of requests, columns of steps, as plain text.

        until: the last step to be shown. It is marked, and so are the rows that differ there from `other`.
        """
        if not self.columns:
            return "nothing happened"
        last = len(self.columns) - 1 if until is None else until
        shown = [*self.columns, ({}, {})][: last + 1]  # `last` is one step further where this one ends too early
        both = [*shown, *(other.columns[: last + 1] if other else ())]
        rows = [[*dict.fromkeys(name for column in both for name in column[part])] for part in (0, 1)]
        heads = [f"[{step}]" if step == until else f"{step}" for step in range(len(shown))]
        differ = self._differing(other, until)
        names = [(part, name, ("> " if name in differ else "  ") + str(name)) for part in (0, 1) for name in rows[part]]
        left = max([len("step"), *(len(label) for _, _, label in names)])
        width = 1 + max(
            len(str(cell)) for cell in (*heads, *(v for column in both for part in column for v in part.values()))
        )
        first = max(0, len(shown) - max(1, (WIDEST - left) // width))
        gap = " …" if first else ""

        def written(label, values):
            cells = "".join(f"{value:>{width}}" for value in values[first:])
            return f"{label:<{left}}{gap}{cells}"

        lines = [written("step", heads)]
        for part, name, label in names:
            lines.append(written(label, [str(column[part].get(name, "")) for column in shown]).rstrip())
        return "\n".join(lines)

    def _differing(self, other, step):
        if other is None or step is None:
            return set()
        mine, theirs = [dict(enumerate(line.columns)).get(step, ({}, {})) for line in (self, other)]
        return {name for a, b in zip(mine, theirs) for name in {**a, **b} if a.get(name) != b.get(name)}

    def said(self, cell):
        """A cell in words: "computes 4 prompt tokens"."""
        if not cell:
            return "is not in the step"
        letter, n = cell[0], cell[1:]
        if n and n[-1] in self.signs:
            return f"{self.said(cell[:-1])} and {self.signs[n[-1]]}"
        if n:
            words = {"P": "computes {n} prompt tokens", "D": "decodes {n} tokens", **self.numbers}.get(letter)
            if words:
                said = words.format(n=n)
                return said[:-1] if n == "1" and said.endswith(" tokens") else said
        return f"{LETTERS.get(letter, letter)}{f' ({n})' if n else ''}"

    def __str__(self):
        return self.text()

    __repr__ = __str__


def _cells_of(record, cells, state, prompts):
    """Puts a record into the cells of its step, and into what each request does until its next record."""
    event, name = record["event"], record.get("request")
    if event == "queue":
        prompts[name] = record["num_tokens"]
        cells[name] = state[name] = "W"
    elif event == "schedule":
        for name, start, n in zip(record["requests"], record["starts"], record["counts"]):
            is_prompt = n > 1 or start < prompts.get(name, 0)
            cells[name], state[name] = (f"P{n}" if is_prompt else "D"), "-"
    elif event == "preempt":
        swapped = record["how"] == "swap"
        cells[name], state[name] = ("S", "S") if swapped else ("X", "W")
    elif event == "finish":
        state[name] = "A" if record["reason"] == "abort" else "F"
        if cells.get(name, "W")[0] in "WSX-":
            cells[name] = state[name]


def both(expected, got):
    """The two texts of a counterexample: up to the first step that differs, which is marked."""
    step = expected.first_difference(got)
    return expected.text(step, got), got.text(step, expected)


def difference(expected, got):
    """The sentence on the first step that differs."""
    step = expected.first_difference(got)
    if step is None:
        return ""
    if step >= len(got.columns):
        return f"Step {step} is missing: yours ends before it, and a request is unfinished." + legend(
            expected, got, step
        )
    if step >= len(expected.columns):
        return f"Step {step} is one too many: all requests have finished before it." + legend(expected, got, step)
    said = []
    for part in (0, 1):
        a, b = expected.columns[step][part], got.columns[step][part]
        for name in {**a, **b}:
            if a.get(name) != b.get(name):
                if part == 0:
                    said.append(f"`{name}` {got.said(b.get(name))}; expected is that it {expected.said(a.get(name))}")
                else:
                    said.append(f"{name}: {b.get(name, 'nothing')}; expected is {a.get(name, 'nothing')}")
    if not said:
        return f"Step {step} does the same in another order." + legend(expected, got, step)
    more = f" {len(said) - 2} more differ." if len(said) > 2 else ""
    return f"Step {step} is the first that differs. In yours {'. '.join(said[:2])}.{more}" + legend(expected, got, step)


def legend(expected, got, step):
    """What the letters in the two timelines mean, up to a step."""
    lines = expected, got
    cells = [cell for line in lines for cells, _ in line.columns[: step + 1] for cell in cells.values() if cell]
    words = {letter: words.split(",")[0] for letter, words in LETTERS.items()}
    own = {letter: words.format(n="n") for line in lines for letter, words in line.numbers.items()}
    words |= {f"{letter}n": said for letter, said in own.items() if letter not in LETTERS}
    used = [f"{letter} {said}" for letter, said in words.items() if any(cell[0] == letter[0] for cell in cells)]
    signs = {sign: said for line in lines for sign, said in line.signs.items()}
    used += [f"{sign} {said}" for sign, said in signs.items() if any(cell[-1] == sign for cell in cells)]
    return f"  ({', '.join(used)})" if used else ""
