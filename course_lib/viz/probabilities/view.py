"""Next-token probabilities: what the model offers for the next place, what the cut leaves, and what was chosen."""

import math
import textwrap

from course_lib.errors import ParameterError
from course_lib.viz.kit import still as static
from course_lib.viz.kit.base import View
from course_lib.viz.kit.still import percent, quoted, visible

SLACK = 1e-3  # float32 softmax over a large vocabulary does not add up to 1 exactly
PALE = {"facecolor": "#eceff1", "linewidth": 0.9}


def next_token_probabilities(tokens, steps):
    """The text so far, and a bar for each candidate of the next place, before and after temperature and cut.

    tokens: list[str], the text of every position, prompt first.
    steps: list of dicts, one a chosen token: "position" (index in `tokens` of the token chosen), "candidates" (list of
        {"token": str, "p": the model's softmax, "q": after temperature, top-k and top-p; 0 = cut}), "rest" (the
        probability p of all others together), "rest_q" (their q; when missing, what the candidates' q leave) and "chosen"
        (str, its text).
    `selected` is the rank of a candidate, 0 = most probable, or None. Raises ParameterError for bad data.
    """
    tokens = list(tokens)
    if not tokens or not steps:
        missing = "tokens" if not tokens else "steps"
        raise ParameterError(
            f"`{missing}` is empty, so there is nothing to draw. Give at least one token and one step."
        )
    steps = [_step(index, step, tokens) for index, step in enumerate(steps)]
    top = max(max(row["p"], row["q"]) for step in steps for row in step["rows"])
    plain = all(abs(row["p"] - row["q"]) < SLACK for step in steps for row in step["rows"])
    return NextTokenProbabilities(
        {
            "title": "The next token",
            "subtitle": f"{len(steps)} chosen, one a step",
            "first": 1,
            "last": len(steps),
            "tokens": tokens,
            "labels": [visible(token) for token in tokens],
            "steps": steps,
            "plain": plain,
            "scale": next(edge for edge in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0) if top <= edge + SLACK),
            "columns": ["rank", "candidate", "from the model", "after the cut", "chosen"],
            "say": [_words(step) for step in steps],
        }
    )


class NextTokenProbabilities(View):
    """See `next_token_probabilities`."""

    name = "probabilities"
    noun = "next-token probabilities"

    def check_selected(self, selected):
        most = max(len(step["rows"]) for step in self.data["steps"])
        if selected is None or (type(selected) is int and 0 <= selected < most):
            return selected
        raise ParameterError(
            f"selected = {selected!r} is no rank of a candidate; there are ranks 0 to {most - 1}. Give one of them, or None."
        )

    def _rows(self, step):
        rows = self.data["steps"][step - 1]["rows"]
        return [
            [
                "" if row["others"] else rank + 1,
                row["label"],
                row["p_text"],
                row["q_text"],
                "chosen" if row["chosen"] else "",
            ]
            for rank, row in enumerate(rows)
        ]

    def _paint(self, step):
        return _Painter(self.data, step).figure


def _share(index, name, value):
    """A probability as a float; raises where it is none."""
    try:
        share = float(value)
    except (TypeError, ValueError):
        share = math.nan
    if not -1e-9 <= share <= 1 + SLACK:  # also false for nan
        raise ParameterError(
            f"steps[{index}]: {name} = {value!r} is no probability; they lie between 0 and 1. "
            "Pass softmax outputs, not logits."
        )
    return min(max(share, 0.0), 1.0)


def _step(index, step, tokens):
    """One step, checked, with its rows sorted and their words ready: the browser only draws."""
    missing = {"position", "candidates", "rest", "chosen"} - set(step)
    if missing:
        raise ParameterError(
            f"steps[{index}] has no {', '.join(sorted(map(repr, missing)))}. A step needs position, candidates, rest and chosen."
        )
    position, chosen = step["position"], step["chosen"]
    if type(position) is not int or not 0 <= position < len(tokens):
        raise ParameterError(
            f"steps[{index}]: position = {position!r} is outside the {len(tokens)} tokens. "
            f"It is the index of the chosen token in `tokens`, 0 to {len(tokens) - 1}."
        )
    if tokens[position] != chosen:
        raise ParameterError(
            f"steps[{index}]: {chosen!r} was chosen, but tokens[{position}] is {tokens[position]!r}. "
            "Step and text do not belong together; check where `position` is counted from."
        )
    if not step["candidates"]:
        raise ParameterError(f"steps[{index}] has no candidates. Give the most probable few, about ten.")
    rows = [
        {
            "token": row["token"],
            "p": _share(index, f"p of {row['token']!r}", row["p"]),
            "q": _share(index, f"q of {row['token']!r}", row["q"]),
            "others": False,
        }
        for row in step["candidates"]
    ]
    rest = _share(index, "rest", step["rest"])
    all_p, all_q = math.fsum(row["p"] for row in rows) + rest, math.fsum(row["q"] for row in rows)
    if abs(all_p - 1) > 10 * SLACK:
        raise ParameterError(
            f"steps[{index}]: the candidates' p and rest add up to {all_p:.4g}, not to 1. "
            "`p` is the softmax over the whole vocabulary, and `rest` is 1 minus the sum of those shown."
        )
    if all_q > 1 + SLACK:
        raise ParameterError(
            f"steps[{index}]: the candidates' q add up to {all_q:.4g}, over 1. "
            "`q` is what is left after the cut, divided by its sum over the whole vocabulary."
        )
    rows.sort(key=lambda row: -row["p"])
    left = _share(index, "rest_q", step.get("rest_q", 1 - all_q if 1 - all_q > SLACK else 0.0))
    if abs(all_q + left - 1) > 10 * SLACK:
        raise ParameterError(
            f"steps[{index}]: the candidates' q and rest_q add up to {all_q + left:.4g}, not to 1. "
            "`q` is what is left after the cut, divided by its sum over the whole vocabulary."
        )
    rows.append({"token": "", "p": rest, "q": left, "others": True})
    taken = next((row for row in rows[:-1] if row["token"] == chosen and row["q"] > 0), None)
    if taken is None and any(row["token"] == chosen for row in rows[:-1]):
        raise ParameterError(
            f"steps[{index}]: {chosen!r} was chosen, but its q is 0, so it was cut and cannot have been. "
            "Check that q and the chosen token come from the same draw."
        )
    if taken is None and rows[-1]["q"] == 0:
        raise ParameterError(
            f"steps[{index}]: {chosen!r} was chosen, but it is not among the candidates, and their q leave nothing for others. "
            "Add it to the candidates."
        )
    for row in rows:
        row["chosen"] = row is (taken or rows[-1])
        row["cut"] = row["q"] == 0 and row["p"] > 0
        row["label"] = visible(row["token"]) if not row["others"] else "all others"
        if row["others"] and row["chosen"]:
            row["label"] = f"others: {visible(chosen)}"
        row["p_text"] = percent(row["p"])
        row["q_text"] = "cut" if row["cut"] else percent(row["q"])
    return {"position": position, "chosen": chosen, "rows": rows}


def _words(step):
    rows = step["rows"]
    taken = next(row for row in rows if row["chosen"])
    cut = [row for row in rows if row["cut"]]
    words = [["strong", f"{quoted(step['chosen'])} is chosen."]]
    if taken["others"]:
        return words + [["", " It is not among the candidates shown, but one of all the others."]]
    words.append(["", f" The model gives it {percent(taken['p'])}"])
    if cut:
        named = len(cut) - cut[-1]["others"]
        who = (
            f"{named} of these and all others"
            if named and cut[-1]["others"]
            else "all others"
            if not named
            else f"{named} of these"
        )
        together = percent(sum(row["p"] for row in cut))
        words.append(
            [
                "",
                f". {who.capitalize()} are cut ({together} together); after temperature and cut it has {percent(taken['q'])}.",
            ]
        )
    elif abs(taken["p"] - taken["q"]) >= SLACK:
        words.append(["", f", temperature makes that {percent(taken['q'])}. Nothing is cut."])
    else:
        words.append(["", "."])
    return words


class _Painter:
    """Draws one step with matplotlib; the same picture as probabilities.js, in light colours."""

    def __init__(self, data, step):
        self.data, self.colour = data, static.palette()
        rows = data["steps"][step - 1]["rows"]
        story = self._story(data["steps"][step - 1])
        self.top = 84 + 22 * len(story) + 54
        self.figure, self.axes = static.figure(self.top + 28 * len(rows) + 66)
        static.title(self.axes, data)
        self._legend()
        static.box(self.axes, 22, 74, 876, 22 * len(story) + 16, radius=8, facecolor=self.colour["well"])
        for index, (text, colour) in enumerate(story):
            static.write(self.axes, 34, 93 + 22 * index, text, size=12.5, colour=colour, family="monospace")
        self._place(data["steps"][step - 1], story)
        self._axis()
        for index, row in enumerate(rows):
            self._bar(row, self.top + 28 * index)
        words = "".join(text for _, text in data["say"][step - 1])
        static.say(self.axes, self.top + 28 * len(rows) + 16, words)

    def _story(self, step):
        """The last lines of the text before the next place."""
        text = "".join(self.data["tokens"][: step["position"]]).replace("\n", "⏎")
        room = 106
        lines = textwrap.wrap(text, room, drop_whitespace=False, break_on_hyphens=False) or [""]
        if len(lines) > 3:
            lines = ["…" + lines[-3], *lines[-2:]]
        lines = [lines[0], *(line.lstrip(" ") for line in lines[1:])]
        if len(lines[-1]) + len(step["chosen"]) + 4 > room:
            lines = [*lines[1:], ""] if len(lines) == 3 else [*lines, ""]
        return [(line, "soft") for line in lines]

    def _legend(self):
        colour = self.colour
        entries = [("the model's probability", {"facecolor": colour["r0"]})] if self.data["plain"] else [
            ("from the model", PALE | {"edgecolor": colour["faint"]}), ("after temperature and cut", {"facecolor": colour["r0"]})]  # fmt: skip
        if any(row["cut"] for step in self.data["steps"] for row in step["rows"]):
            entries.append(("cut", static.hatched(colour["faint"], colour["card"])))
        static.legend(self.axes, [*entries, ("chosen", "▶")])

    def _place(self, step, story):
        y = 93 + 22 * (len(story) - 1)
        drawn = static.write(self.axes, 34, y, story[-1][0], size=12.5, family="monospace", alpha=0)
        static.write(
            self.axes, 34 + static.text_width(self.axes, drawn) + 8, y, visible(step["chosen"]), size=12.5, family="monospace", weight="bold",
            bbox={"boxstyle": "round,pad=0.22", "facecolor": self.colour["card"], "edgecolor": self.colour["accent"], "linewidth": 1.2},
        )  # fmt: skip

    def _axis(self):
        y, scale = self.top - 14, self.data["scale"]
        for part in (0, 0.5, 1):
            align = {0: "left", 0.5: "center", 1: "right"}[part]
            static.write(
                self.axes, 200 + 500 * part, y, f"{100 * scale * part:.0f} %", size=11, colour="soft", ha=align
            )
        static.write(self.axes, 790, y, "model", size=11.5, colour="soft", ha="right")
        if not self.data["plain"]:
            static.write(self.axes, 890, y, "after the cut", size=11.5, colour="ink", ha="right")

    def _bar(self, row, y):
        colour, size, weight = self.colour, 12.5, "bold" if row["chosen"] else "normal"
        for part in (0.25, 0.5, 0.75, 1):
            self.axes.plot([200 + 500 * part] * 2, [y - 2, y + 26], color=colour["line"], linewidth=0.7, zorder=0)
        self.axes.plot([200, 200], [y - 2, y + 26], color=colour["faint"], linewidth=0.8)
        name = static.shortened(row["label"], 17)
        style = {"style": "italic"} if row["others"] else {"family": "monospace"}
        static.write(
            self.axes,
            190,
            y + 12,
            name,
            size=size,
            colour="soft" if row["cut"] else "ink",
            ha="right",
            weight=weight,
            **style,
        )
        if row["chosen"]:
            static.write(self.axes, 22, y + 12, "▶", size=12, colour="r0")
        length = 500 / self.data["scale"]
        look = static.hatched(colour["faint"], colour["card"]) if row["cut"] else PALE | {"edgecolor": colour["faint"]}
        if not self.data["plain"] or row["cut"]:
            static.box(self.axes, 200, y + 2, row["p"] * length, 20, **look)
        if row["q"]:
            static.box(self.axes, 200, y + 6, row["q"] * length, 12, facecolor=colour["r0"])
        static.write(self.axes, 790, y + 12, row["p_text"], size=size, colour="soft", ha="right", family="monospace")
        if not self.data["plain"]:
            static.write(
                self.axes,
                890,
                y + 12,
                row["q_text"],
                size=size,
                colour="soft" if row["cut"] else "ink",
                ha="right",
                family="monospace",
                weight=weight,
            )
