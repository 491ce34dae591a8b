"""The cache, filling: prefill in one stroke, then a column a step; beside it what naive decoding would push."""

from itertools import accumulate

from course_lib.errors import ParameterError
from course_lib.viz.kit.base import View
from course_lib.viz.kit.inputs import count, keys, some, texts, whole
from course_lib.viz.kit.still import label, quoted

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
    column = (
        2 * shape["kv_heads"] * shape["head_dim"] * shape["bytes"]
    )  # a key and a value for each KV head, in one layer
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
        from .still import paint

        return paint(self.data, step)


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
        raise ParameterError(
            f"{where}: kept is {kept!r}; it has to list one number of columns for each of the {num_layers} layers."
        )
    kept = [whole(f"{where}: kept[{layer}]", number) for layer, number in enumerate(kept)]
    return {
        "first": first,
        "count": pushed,
        "kept": kept,
        "naive_tokens": whole(f"{where}: naive_tokens", step["naive_tokens"], 1),
    }


def kept_by(data, index, layer):
    """How many columns `layer` holds after step `index` (from 0; -1 is before the first)."""
    if index < 0:
        return 0
    kept = data["kept"][index]
    return kept[layer] if isinstance(kept, list) else kept


def stretches(data, index, layer):
    """What the columns of a layer are after step `index`: [(start, end, state)], in order.

    new: written in this step · again: written in this step, though pushed before · kept: written earlier ·
    missing: due, but not held · surplus: held, though no such token has been pushed. Fewer columns than are due are the
    first ones; but who holds no more than this step brought holds that.
    """
    (first, end), due, known = data["pushed"][index], data["due"][index], data["due"][index - 1] if index else 0
    kept = kept_by(data, index, layer)
    begin = end - kept if known and kept <= end - first and kept < due else 0
    edges = sorted({0, first, end, due, known, begin, begin + kept})
    found = []
    for a, b in zip(edges, edges[1:]):
        if a >= max(kept, due):
            break
        if a < begin or a >= begin + kept:
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
        words.append(
            ["", f" 1 token through the model, {quoted(data['tokens'][first])}; naive decoding pushes {naive:,}."]
        )
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
        who = (
            f"Layer {layers[0]} holds"
            if len(layers) == 1
            else "Every layer holds"
            if len(layers) == data["layers"]
            else f"Layers {_listed(layers)} hold"
        )
        words += [
            ["", " "],
            ["strong", f"{who} {count(kept, 'column')}"],
            ["", f", {due:,} {'is' if due == 1 else 'are'} due."],
        ]
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
