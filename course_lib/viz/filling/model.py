"""The data of the filling cache: what each layer holds after each step and what it should hold, and sums by step."""

from itertools import accumulate

from course_lib.errors import ParameterError
from course_lib.viz.kit.format import count, joined, label, quoted
from course_lib.viz.kit.inputs import keys, some, token_texts, whole

KEYS = ("first", "count", "kept", "naive_tokens")


def filling_data(tokens, steps, num_layers, num_heads, num_kv_heads, head_dim, bytes_per_number):
    """What the browser draws from. Raises ParameterError for anything that does not fit together."""
    tokens = token_texts("tokens", tokens)
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
    column = 2 * shape["kv_heads"] * shape["head_dim"] * shape["bytes"]  # K and V of each KV head, in one layer
    computed = [step["count"] for step in steps]
    naive = [step["naive_tokens"] for step in steps]
    held = [sum(step["kept"]) * column for step in steps]
    due = list(accumulate((step["first"] + step["count"] for step in steps), max))
    layers = f"{count(shape['layers'], 'layer')} of {count(shape['kv_heads'], 'KV head')}"
    data = {
        "title": "The cache fills",
        "subtitle": f"{layers}, {count(len(steps), 'step')}",
        "first": 1,
        "last": len(steps),
        "tokens": tokens,
        "labels": [label(token) for token in tokens],
        "prompt_tokens": min(naive[0], len(tokens)),
        **shape,
        "column_bytes": column,
        "computed": [[step["first"], step["first"] + step["count"]] for step in steps],
        # one number where all layers hold the same, which is nearly always
        "kept": [step["kept"][0] if len(set(step["kept"])) == 1 else step["kept"] for step in steps],
        "due": due,  # how many tokens have been computed so far: what every layer has to hold
        "naive": naive,
        "computed_so_far": list(accumulate(computed)),
        "naive_so_far": list(accumulate(naive)),
        "held": held,
        "columns": ["layer", "columns held", "columns due", "written in this step", "bytes"],
    }
    data["say"] = [_words(data, index) for index in range(len(steps))]
    return data


def kept_by(data, index, layer):
    """How many columns `layer` holds after step `index` (from 0; -1 is before the first)."""
    if index < 0:
        return 0
    kept = data["kept"][index]
    return kept[layer] if isinstance(kept, list) else kept


def stretches(data, index, layer):
    """What the columns of a layer are after step `index`: [(start, end, state)], in order.

    new: written in this step · again: written in this step, though computed before · kept: written earlier ·
    missing: due, but not held · surplus: held, though no such token has been computed. Fewer columns than are due are
    the first ones; but a layer that holds no more than this step brought holds that.
    """
    (first, end), due, known = data["computed"][index], data["due"][index], data["due"][index - 1] if index else 0
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


def _step(index, step, num_tokens, num_layers):
    where = f"steps[{index}]"
    keys(where, step, KEYS)
    first = whole(f"{where}: first", step["first"])
    computed = whole(f"{where}: count", step["count"], 1)
    if first + computed > num_tokens:
        raise ParameterError(
            f"{where} computes positions {first} to {first + computed - 1}, but there are {num_tokens} tokens, "
            f"0 to {num_tokens - 1}. Pass the text of every token that went through the model, and count from 0."
        )
    kept = step["kept"]
    if not isinstance(kept, (list, tuple)) or len(kept) != num_layers:
        raise ParameterError(
            f"{where}: kept is {kept!r}; it has to list one number of columns for each of the {num_layers} layers."
        )
    kept = [whole(f"{where}: kept[{layer}]", number) for layer, number in enumerate(kept)]
    return {
        "first": first,
        "count": computed,
        "kept": kept,
        "naive_tokens": whole(f"{where}: naive_tokens", step["naive_tokens"], 1),
    }


def _words(data, index):
    (first, end), due, naive = data["computed"][index], data["due"][index], data["naive"][index]
    computed, known = end - first, data["due"][index - 1] if index else 0
    head = f"Step {index + 1}{', prefill' if index == 0 else ''}:"
    what = f"1 token through the model, {quoted(data['tokens'][first])}"
    if computed > 1:
        what = f"{computed:,} tokens through the model at once"
    said = [[["strong", head], ["", f" {what}; naive decoding computes {naive:,}."]]]
    again = max(0, min(end, known) - first)
    if again:
        said.append([["", f"{again:,} of these went through before: "], ["strong", "the cache is not used."]])
    before, now = (data["held"][at] if at >= 0 else 0 for at in (index - 1, index))
    if now == before:
        said.append([["", f"The cache stays at {now:,} bytes."]])
    else:
        verb = "grows" if now > before else "shrinks"
        said.append([["", f"The cache {verb} by {abs(now - before):,} bytes to {now:,}."]])
    return joined([*said, *_wrong(data, index, due)])


def _wrong(data, index, due):
    """Sentences for layers that do not hold what they should, the first three."""
    wrong = {}
    for layer in range(data["layers"]):
        if kept_by(data, index, layer) != due:
            wrong.setdefault(kept_by(data, index, layer), []).append(layer)
    for kept, layers in list(wrong.items())[:3]:
        which = f"Layers {_ranges(layers)} hold"
        if len(layers) == 1:
            which = f"Layer {layers[0]} holds"
        elif len(layers) == data["layers"]:
            which = "Every layer holds"
        verb = "is" if due == 1 else "are"
        yield [["strong", f"{which} {count(kept, 'column')}"], ["", f", {due:,} {verb} due."]]


def _ranges(numbers):
    """[0, 1, 2, 5] -> "0–2, 5"."""
    runs = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{a}" if a == b else f"{a}–{b}" if b > a + 1 else f"{a}, {b}" for a, b in runs)
