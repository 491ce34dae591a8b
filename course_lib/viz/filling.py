"""The cache, filling: prefill in one stroke, then a column a step; beside it what naive decoding would push."""

from itertools import accumulate

from course_lib.errors import ParameterError
from course_lib.viz import static
from course_lib.viz.base import View
from course_lib.viz.given import count, keys, some, texts, whole
from course_lib.viz.static import label, quoted

KEYS = ("first", "count", "kept", "naive_tokens")


def cache_filling(tokens, steps, *, num_layers, num_heads, num_kv_heads, head_dim, bytes_per_number):
    """A row for each layer and KV head, a column a token: what the cache holds after each step, and what the step cost.

    tokens: list[str], the text of every position, prompt first.
    steps: list of dicts, one a pass through the model: "first" and "count" (the positions pushed, first to
        first + count - 1), "kept" (per layer, how many columns the cache holds after the step) and "naive_tokens" (how
        many tokens decoding without a cache would push in this step). Record them from any cache; a faulty one shows.
    num_layers, num_heads, num_kv_heads, head_dim: the model's shape. bytes_per_number: 4 for float32, 2 for bfloat16.
    `selected` is [layer, KV head, position] or None. Raises ParameterError for anything that does not fit together.
    """
    tokens = texts("tokens", tokens)
    shape = {
        "layers": whole("num_layers", num_layers, 1),
        "heads": whole("num_heads", num_heads, 1),
        "kv_heads": whole("num_kv_heads", num_kv_heads, 1),
        "head_dim": whole("head_dim", head_dim, 1),
        "bytes": whole("bytes_per_number", bytes_per_number, 1),
    }
    if num_heads % num_kv_heads:
        raise ParameterError(
            f"{num_heads} query heads cannot be shared out evenly over {num_kv_heads} KV heads. "
            "Take num_heads and num_kv_heads from the model's configuration."
        )
    steps = [_step(index, step, len(tokens), num_layers) for index, step in enumerate(some("steps", steps))]
    column = 2 * shape["kv_heads"] * shape["head_dim"] * shape["bytes"]  # a key and a value for each KV head, in one layer
    pushed = [step["count"] for step in steps]
    naive = [step["naive_tokens"] for step in steps]
    held = [sum(step["kept"]) * column for step in steps]
    due = list(accumulate((step["first"] + step["count"] for step in steps), max))
    data = {
        "title": "The cache fills",
        "subtitle": f"{count(shape['layers'], 'layer')} of {count(shape['kv_heads'], 'KV head')}, {count(len(steps), 'step')}",
        "first": 1,
        "last": len(steps),
        "tokens": tokens,
        "labels": [label(token) for token in tokens],
        "prompt_tokens": min(naive[0], len(tokens)),
        **shape,
        "column_bytes": column,
        "pushed": [[step["first"], step["first"] + step["count"]] for step in steps],
        # one number where all layers hold the same, which is nearly always
        "kept": [step["kept"][0] if len(set(step["kept"])) == 1 else step["kept"] for step in steps],
        "due": due,  # how many tokens have been pushed so far: what every layer has to hold
        "naive": naive,
        "pushed_so_far": list(accumulate(pushed)),
        "naive_so_far": list(accumulate(naive)),
        "held": held,
        "columns": ["layer", "columns held", "columns due", "written in this step", "bytes"],
    }
    data["say"] = [_words(data, index) for index in range(len(steps))]
    return CacheFilling(data)


class CacheFilling(View):
    """See `cache_filling`."""

    name = "filling"
    noun = "filling cache"

    def check_selected(self, selected):
        sizes = self.data["layers"], self.data["kv_heads"], len(self.data["tokens"])
        if selected is None:
            return None
        cell = list(selected) if isinstance(selected, (list, tuple)) else []
        if len(cell) == 3 and all(type(at) is int and 0 <= at < size for at, size in zip(cell, sizes)):
            return cell
        raise ParameterError(
            f"selected = {selected!r} is no cell of the cache. Give [layer, KV head, position], below {list(sizes)}, or None."
        )

    def _poster(self):
        return self.last

    def _rows(self, step):
        data, at = self.data, step - 1
        rows = []
        for layer in range(data["layers"]):
            written = sum(b - a for a, b, state in stretches(data, at, layer) if state in ("new", "again"))
            kept = kept_by(data, at, layer)
            rows.append([layer, kept, data["due"][at], written, kept * data["column_bytes"]])
        sums = [sum(row[i] for row in rows) for i in range(1, 5)]
        return [*rows, ["all", *sums]]

    def _paint(self, step):
        return _Painter(self.data, step).figure


def _step(index, step, num_tokens, num_layers):
    where = f"steps[{index}]"
    keys(where, step, KEYS)
    first = whole(f"{where}: first", step["first"])
    pushed = whole(f"{where}: count", step["count"], 1)
    if first + pushed > num_tokens:
        raise ParameterError(
            f"{where} pushes positions {first} to {first + pushed - 1}, but there are {num_tokens} tokens, 0 to {num_tokens - 1}. "
            "Pass the text of every token that went through the model, and count positions from 0."
        )
    kept = step["kept"]
    if not isinstance(kept, (list, tuple)) or len(kept) != num_layers:
        raise ParameterError(f"{where}: kept is {kept!r}; it has to list one number of columns for each of the {num_layers} layers.")
    kept = [whole(f"{where}: kept[{layer}]", number) for layer, number in enumerate(kept)]
    return {"first": first, "count": pushed, "kept": kept, "naive_tokens": whole(f"{where}: naive_tokens", step["naive_tokens"], 1)}


def kept_by(data, index, layer):
    """How many columns `layer` holds after step `index` (from 0; -1 is before the first)."""
    if index < 0:
        return 0
    kept = data["kept"][index]
    return kept[layer] if isinstance(kept, list) else kept


def stretches(data, index, layer):
    """What the columns of a layer are after step `index`: [(start, end, state)], in order.

    new: written in this step · again: written in this step, though pushed before · kept: written earlier ·
    missing: due, but not held · surplus: held, though no such token has been pushed.
    """
    (first, end), due, known = data["pushed"][index], data["due"][index], data["due"][index - 1] if index else 0
    kept = kept_by(data, index, layer)
    edges = sorted({0, first, end, due, known, kept})
    found = []
    for a, b in zip(edges, edges[1:]):
        if a >= max(kept, due):
            break
        if a >= kept:
            state = "missing"
        elif a >= due:
            state = "surplus"
        elif first <= a < end:
            state = "again" if a < known else "new"
        else:
            state = "kept"
        found.append((a, b, state))
    return found


def _words(data, index):
    (first, end), due, naive = data["pushed"][index], data["due"][index], data["naive"][index]
    pushed, known = end - first, data["due"][index - 1] if index else 0
    words = [["strong", f"Step {index + 1}{', prefill' if index == 0 else ''}:"]]
    if pushed == 1:
        words.append(["", f" 1 token through the model, {quoted(data['tokens'][first])}; naive decoding pushes {naive:,}."])
    else:
        words.append(["", f" {pushed:,} tokens through the model at once; naive decoding pushes {naive:,}."])
    again = max(0, min(end, known) - first)
    if again:
        words.append(["", f" {again:,} of these went through before: "])
        words.append(["strong", "the cache is not used."])
    before, now = (data["held"][at] if at >= 0 else 0 for at in (index - 1, index))
    if now > before:
        words.append(["", f" The cache grows by {now - before:,} bytes to {now:,}."])
    elif now < before:
        words.append(["", f" The cache shrinks by {before - now:,} bytes to {now:,}."])
    else:
        words.append(["", f" The cache stays at {now:,} bytes."])
    wrong = {}
    for layer in range(data["layers"]):
        if kept_by(data, index, layer) != due:
            wrong.setdefault(kept_by(data, index, layer), []).append(layer)
    for kept, layers in list(wrong.items())[:3]:
        who = f"Layer {layers[0]} holds" if len(layers) == 1 else "Every layer holds" if len(layers) == data["layers"] else f"Layers {_listed(layers)} hold"
        words += [["", " "], ["strong", f"{who} {count(kept, 'column')}"], ["", f", {due:,} {'is' if due == 1 else 'are'} due."]]
    return words


def _listed(numbers):
    """[0, 1, 2, 5] -> "0–2, 5"."""
    runs = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{a}" if a == b else f"{a}–{b}" if b > a + 1 else f"{a}, {b}" for a, b in runs)


class _Painter:
    """Draws one step with matplotlib; the same picture as filling.js, in light colours."""

    def __init__(self, data, step):
        self.data, self.index, self.colour = data, step - 1, static.palette()
        held = max(max(kept) if isinstance(kept, list) else kept for kept in data["kept"])
        self.count = max(len(data["tokens"]), min(held, len(data["tokens"]) + 6))
        self.row = max(1.2, min(19, 290 / (data["layers"] * data["kv_heads"])))
        self.between = 6 if self.row >= 6 else 2 if self.row >= 3 else 0.6
        self.left, right = (170, 96) if self.row >= 12 else (112, 96)
        self.cell = min(38, (static.WIDTH * static.SHOWN_DPI - self.left - right) / self.count)
        self.gap = 2 if self.cell >= 9 and self.row >= 5 else 0
        longest = max(min(11, len(text)) for text in data["labels"])
        self.wide = longest * 7.4 < self.cell
        self.model = 126 if self.cell < 12 or self.wide else 112 + longest * 5.6
        self.top = self.model + 70
        self.bottom = self._y(data["layers"], 0) - self.between
        self.figure, self.axes = static.figure(self.bottom + 178)
        static.title(self.axes, data)
        static.legend(self.axes, self._legend())
        self._columns()
        self._through_the_model()
        self._rows()
        self._now()
        self._bars(22, "TOKENS PUSHED, STEP BY STEP", [end - first for first, end in data["pushed"]], data["naive"], self._work())
        self._bars(476, "MEMORY OF THE CACHE, STEP BY STEP", data["held"], None, f"{data['held'][self.index]:,} bytes")
        static.say(self.axes, self.bottom + 124, "".join(text for _, text in data["say"][self.index]))

    def _x(self, position):
        return self.left + min(position, self.count) * self.cell

    def _y(self, layer, head):
        return self.top + layer * (self.data["kv_heads"] * self.row + self.between) + head * self.row

    def _look(self, state):
        colour, edge = self.colour, 0.8 if self.gap else 0
        return {
            "new": {"facecolor": colour["r0"]},
            "kept": {"facecolor": colour["r0"] + "33", "edgecolor": colour["r0"], "linewidth": edge},
            "again": static.hatched(colour["r1"]) | {"linewidth": edge},
            "surplus": {"facecolor": colour["r1"] + "1f", "edgecolor": colour["r1"], "hatch": "xxxxx", "linewidth": 0.8},
            "missing": {"facecolor": "none", "edgecolor": colour["r1"], "linestyle": "--", "linewidth": 0.9},
            "free": {"facecolor": colour["free"]},
        }[state]

    def _run(self, start, end, y, height, state):
        """Columns [start, end) of one row: single cells where they are large enough to be told apart."""
        end, gap = min(end, self.count), self.gap
        for a, b in [(p, p + 1) for p in range(start, end)] if gap else [(start, end)] if end > start else []:
            wide = max(1.6, (b - a) * self.cell - gap)
            static.box(self.axes, self._x(a) + gap / 2, y + gap / 2, wide, height - gap, radius=gap and 2.5, **self._look(state))

    def _legend(self):
        seen = {state for index in range(self.index + 1) for layer in range(self.data["layers"]) for _, _, state in stretches(self.data, index, layer)}
        kept = "kept: key above value" if self.row >= 14 and self.gap else "kept"
        entries = [("new", "new"), (kept, "kept"), ("pushed again", "again")]
        entries += [("still to come", "free")] if self.index + 1 < self.data["last"] else []
        entries += [(text, state) for text, state in (("due, not held", "missing"), ("held, never pushed", "surplus")) if state in seen]
        return [(text, self._look(state)) for text, state in entries]

    def _columns(self):
        data, y = self.data, self.model - 8
        split, count = data["prompt_tokens"], len(data["tokens"])
        for start, end, text in ((0, split, "PROMPT"), (split, count, "GENERATED")):
            if end > start:
                self.axes.plot([self._x(start) + 1, self._x(end) - 1], [90, 90], color=self.colour["soft"], linewidth=1)
                if (end - start) * self.cell > 70:
                    static.write(self.axes, self._x(start), 80, text, size=10, colour="soft", weight="bold")
        if self.cell < 12:
            every = next(n for n in (5, 10, 20, 50, 100, 200, 500, 10**6) if n * self.cell >= 34)
            for position in range(0, count, every):
                static.write(self.axes, self._x(position), y, str(position), size=10.5, colour="soft", va="bottom")
            return
        look = {"ha": "center", "va": "bottom"} if self.wide else {"rotation": 50, "rotation_mode": "anchor", "va": "baseline"}
        for position, text in enumerate(data["labels"]):
            colour = "soft" if position < split else "ink"
            static.write(self.axes, self._x(position + 0.5), y, static.shortened(text, 11), size=11.5, colour=colour, family="monospace", **look)

    def _through_the_model(self):
        (first, end), naive = self.data["pushed"][self.index], self.data["naive"][self.index]
        known = self.data["due"][self.index - 1] if self.index else 0
        own = "with the cache" if self.left > 150 else "cache"
        for offset, name, a, b, colour in ((0, "naive", 0, naive, "soft"), (18, own, first, end, "ink")):
            y, cut = self.model + offset, max(a, min(b, known))
            self._run(a, cut, y, 15, "again")
            self._run(cut, b, y, 15, "new")
            static.write(self.axes, self.left - 10, y + 8, name, size=12, colour=colour, ha="right")
            weight = "bold" if offset else "normal"
            static.write(self.axes, self._x(b) + 7, y + 8, f"{b - a:,}", size=11.5, family="monospace", weight=weight)

    def _rows(self):
        data, colour = self.data, self.colour
        static.write(self.axes, 22, self.top - 13, "THE CACHE", size=10, colour="soft", weight="bold")
        static.write(self.axes, self._x(self.count) + 10, self.top - 13, "held", size=11, colour="soft")
        group, block = data["heads"] // data["kv_heads"], data["kv_heads"] * self.row + self.between
        every = next((n for n in (1, 2, 4, 5, 10, 20, 50) if n * block >= 16), 100)
        for layer in range(data["layers"]):
            kept, due = kept_by(data, self.index, layer), data["due"][self.index]
            for head in range(data["kv_heads"]):
                y = self._y(layer, head)
                for a, b, state in [*stretches(data, self.index, layer), (max(kept, due), self.count, "free")]:
                    self._run(a, b, y, self.row, state)
                if self.row >= 14 and self.gap:
                    self.axes.plot([self._x(0), self._x(self.count)], [y + self.row / 2] * 2, color=colour["card"], linewidth=0.8)
                if self.row >= 12:
                    queries = f"Q {head}" if group == 1 else f"Q {head * group}–{head * group + group - 1}"
                    static.write(self.axes, 76, y + self.row / 2, queries, size=11, colour="soft", family="monospace")
                    static.write(self.axes, self.left - 10, y + self.row / 2, f"KV {head}", size=11, ha="right", family="monospace")
            middle = (self._y(layer, 0) + self._y(layer, data["kv_heads"])) / 2
            if layer % every == 0:
                y = self._y(layer, 0.5) if self.row >= 12 else middle
                static.write(self.axes, 22, y, f"layer {layer}", size=12, colour="soft")
            if layer % every == 0 or (kept != due and block >= 10):
                text, weight = (f"{kept:,}", "normal") if kept == due else (f"{kept:,} ≠ {due:,}", "bold")
                static.write(self.axes, self._x(self.count) + 10, middle, text, size=11.5, family="monospace", weight=weight)

    def _now(self):
        first, end = self.data["pushed"][self.index]
        out, y = 0.5 if self.gap else 2.5, self.model + 17
        static.box(self.axes, self._x(first) - out, y, (end - first) * self.cell + 2 * out, self.bottom + 1 - y, radius=min(4, self.cell / 2),
                   facecolor="none", edgecolor=self.colour["ink"], linewidth=1.2)

    def _work(self):
        mine, naive = self.data["pushed_so_far"][self.index], self.data["naive_so_far"][self.index]
        return f"{mine:,} of naive {naive:,}"

    def _bars(self, left, title, front, back, text):
        """One bar a step; what is still to come stands back, the step shown carries its sum so far."""
        base, width, colour = self.bottom + 106, 422, self.colour
        heading = static.write(self.axes, left, self.bottom + 30, title, size=10.5, colour="soft", weight="bold")
        static.write(self.axes, left + static.text_width(self.axes, heading) + 14, self.bottom + 30, text, size=11.5, family="monospace")
        most, step = max(max(front), max(back or [0])) or 1, width / len(front)
        gap, look = 2 if step > 5 else 0, static.hatched(colour["r1"])
        for index, value in enumerate(front):
            alpha, x, tall = (1 if index <= self.index else 0.35), left + index * step, max(1.5 if value else 0, 58 * value / most)
            if back and back[index] > value:
                faded = look if alpha == 1 else {**look, "facecolor": colour["r1"] + "0b", "edgecolor": colour["r1"] + "59"}
                static.box(self.axes, x, base - 58 * back[index] / most, step - gap, 58 * (back[index] - value) / most,
                           **(faded if gap else faded | {"linewidth": 0}))
            static.box(self.axes, x, base - tall, step - gap, tall, facecolor=colour["r0"], alpha=alpha)
        self.axes.plot([left, left + width], [base, base], color=colour["line"], linewidth=0.8)
        x = left + (self.index + 0.5) * step - gap / 2
        self.axes.plot([x, x], [base + 2, base + 7], color=colour["ink"], linewidth=1.6)
