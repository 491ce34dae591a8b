"""The data of the next-token probabilities: each step checked, its candidates sorted, their words ready."""

import math

from course_lib.errors import ParameterError
from course_lib.viz.kit.format import percent, quoted, visible
from course_lib.viz.kit.inputs import keys, some

SLACK = 1e-3  # float32 softmax over a large vocabulary does not add up to 1 exactly
KEYS = ("position", "candidates", "rest", "chosen")


def probabilities_data(tokens, steps):
    """What the browser draws from. Raises ParameterError for anything that does not fit together."""
    tokens = some("tokens", tokens)
    steps = [_step(index, step, tokens) for index, step in enumerate(some("steps", steps))]
    top = max(max(row["p"], row["q"]) for step in steps for row in step["rows"])
    plain = all(abs(row["p"] - row["q"]) < SLACK for step in steps for row in step["rows"])
    return {
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


def _step(index, step, tokens):
    """One step, checked, with its rows sorted and their words ready: the browser only draws."""
    where = f"steps[{index}]"
    keys(where, step, KEYS)
    position, chosen = step["position"], step["chosen"]
    if type(position) is not int or not 0 <= position < len(tokens):
        raise ParameterError(
            f"{where}: position = {position!r} is outside the {len(tokens)} tokens. "
            f"It is the index of the chosen token in `tokens`, 0 to {len(tokens) - 1}."
        )
    if tokens[position] != chosen:
        raise ParameterError(
            f"{where}: {chosen!r} was chosen, but tokens[{position}] is {tokens[position]!r}. "
            "Step and tokens do not belong together; check where `position` is counted from."
        )
    if not step["candidates"]:
        raise ParameterError(f"{where} has no candidates. Give the most probable few, about ten.")
    rows = _rows(where, step)
    taken = _taken(where, chosen, rows)
    for row in rows:
        row["chosen"] = row is taken
        row["cut"] = row["q"] == 0 and row["p"] > 0
        row["label"] = visible(row["token"]) if not row["others"] else "all others"
        if row["others"] and row["chosen"]:
            row["label"] = f"others: {visible(chosen)}"
        row["p_text"] = percent(row["p"])
        row["q_text"] = "cut" if row["cut"] else percent(row["q"])
    return {"position": position, "chosen": chosen, "rows": rows}


def _rows(where, step):
    """The candidates, the most probable first, and all others as the last row. p and q add up to 1."""
    rows = [
        {
            "token": row["token"],
            "p": _share(where, f"p of {row['token']!r}", row["p"]),
            "q": _share(where, f"q of {row['token']!r}", row["q"]),
            "others": False,
        }
        for row in step["candidates"]
    ]
    rest = _share(where, "rest", step["rest"])
    all_p, all_q = math.fsum(row["p"] for row in rows) + rest, math.fsum(row["q"] for row in rows)
    if abs(all_p - 1) > 10 * SLACK:
        raise ParameterError(
            f"{where}: the candidates' p and rest add up to {all_p:.4g}, not to 1. "
            "`p` is the softmax over the whole vocabulary, and `rest` is 1 minus the sum of those shown."
        )
    what_q_is = "`q` is what is left after the cut, divided by its sum over the whole vocabulary."
    if all_q > 1 + SLACK:
        raise ParameterError(f"{where}: the candidates' q add up to {all_q:.4g}, over 1. {what_q_is}")
    left = _share(where, "rest_q", step.get("rest_q", 1 - all_q if 1 - all_q > SLACK else 0.0))
    if abs(all_q + left - 1) > 10 * SLACK:
        raise ParameterError(
            f"{where}: the candidates' q and rest_q add up to {all_q + left:.4g}, not to 1. {what_q_is}"
        )
    rows.sort(key=lambda row: -row["p"])
    return [*rows, {"token": "", "p": rest, "q": left, "others": True}]


def _taken(where, chosen, rows):
    """The row of the chosen token: a candidate, or all others."""
    *candidates, others = rows
    taken = next((row for row in candidates if row["token"] == chosen and row["q"] > 0), None)
    if taken is None and any(row["token"] == chosen for row in candidates):
        raise ParameterError(
            f"{where}: {chosen!r} was chosen, but its q is 0, so it was cut and cannot have been chosen. "
            "Check that q and the chosen token come from the same draw."
        )
    if taken is None and others["q"] == 0:
        raise ParameterError(
            f"{where}: {chosen!r} was chosen, but it is not among the candidates, and their q leave nothing for "
            "others. Add it to the candidates."
        )
    return taken or others


def _share(where, name, value):
    """A probability as a float; raises where it is none."""
    try:
        share = float(value)
    except (TypeError, ValueError):
        share = math.nan
    if not -1e-9 <= share <= 1 + SLACK:  # also false for nan
        raise ParameterError(
            f"{where}: {name} = {value!r} is no probability; they lie between 0 and 1. "
            "Pass softmax outputs, not logits."
        )
    return min(max(share, 0.0), 1.0)


def _words(step):
    rows = step["rows"]
    taken = next(row for row in rows if row["chosen"])
    words = [["strong", f"{quoted(step['chosen'])} is chosen."]]
    if taken["others"]:
        return words + [["", " It is not among the candidates shown, but one of all the others."]]
    p, q = percent(taken["p"]), percent(taken["q"])
    cut = [row for row in rows if row["cut"]]
    if cut:
        number, others = len(cut) - cut[-1]["others"], cut[-1]["others"]
        what = " and ".join([f"{number} of these"] * (number > 0) + ["all others"] * others).capitalize()
        together = percent(sum(row["p"] for row in cut))
        rest = f". {what} are cut ({together} together); after temperature and cut it has {q}."
    elif abs(taken["p"] - taken["q"]) >= SLACK:
        rest = f", temperature makes that {q}. Nothing is cut."
    else:
        rest = "."
    return [*words, ["", f" The model gives it {p}{rest}"]]
