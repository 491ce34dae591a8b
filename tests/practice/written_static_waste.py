"""Wrong answers to 09.static_waste as people write them; see written_otherwise.py."""

from itertools import zip_longest


def batches(prompts, new_tokens, size):
    return [(prompts[i : i + size], new_tokens[i : i + size]) for i in range(0, len(prompts), size)]


def waste_counts_last(prompts, new_tokens, batch_size):
    """Multiplies out rectangles: rows by columns."""
    steps = useful = padding = idle = 0
    for p, n in batches(prompts, new_tokens, batch_size):
        steps += max(n)
        useful += sum(p) + sum(n)
        padding += len(p) * max(p) - sum(p)
        idle += len(n) * max(n) - sum(n)
    return {"steps": steps, "useful": useful, "padding": padding, "idle": idle}


def waste_prefill_apart(prompts, new_tokens, batch_size):
    found = waste_counts_last(prompts, new_tokens, batch_size)
    found["useful"] -= len(prompts)
    found["steps"] += -(-len(prompts) // batch_size)
    return found


def waste_one_shape(prompts, new_tokens, batch_size):
    """One padded tensor for the whole queue."""
    found = waste_counts_last(prompts, new_tokens, batch_size)
    found["useful"] -= len(prompts)
    found["padding"] = sum(max(prompts) - p for p in prompts) if prompts else 0
    return found


def waste_full_rows(prompts, new_tokens, batch_size):
    """grouper() of the itertools recipes, filled up with empty requests."""
    steps = useful = padding = idle = 0
    for batch in zip_longest(*[iter(zip(prompts, new_tokens))] * batch_size, fillvalue=(0, 1)):
        p, n = zip(*batch)
        steps, useful = steps + max(n), useful + sum(p) + sum(n) - len(n)
        padding, idle = padding + len(p) * max(p) - sum(p), idle + len(n) * max(n) - sum(n)
    return {"steps": steps, "useful": useful, "padding": padding, "idle": idle}


def waste_whole_batches(prompts, new_tokens, batch_size):
    rest = len(prompts) % batch_size
    found = waste_counts_last(prompts[: len(prompts) - rest], new_tokens[: len(prompts) - rest], batch_size)
    return {**found, "useful": found["useful"] - (len(prompts) - rest)}


def waste_shortest_first(prompts, new_tokens, batch_size):
    pairs = sorted(zip(prompts, new_tokens), key=lambda pair: pair[1])
    found = waste_counts_last([p for p, _ in pairs], [n for _, n in pairs], batch_size)
    return {**found, "useful": found["useful"] - len(prompts)}


def waste_pops(prompts, new_tokens, batch_size):
    found = waste_counts_last(list(prompts), list(new_tokens), batch_size)
    found["useful"] -= len(prompts)
    while prompts:
        prompts.pop(0), new_tokens.pop(0)
    return found


def waste_swaps(prompts, new_tokens, batch_size):
    found = waste_counts_last(prompts, new_tokens, batch_size)
    return {**found, "useful": found["useful"] - len(prompts), "padding": found["idle"], "idle": found["padding"]}


def waste_of(prompts, new_tokens, batch_size):
    """Right; what follows spoils it."""
    return {**(found := waste_counts_last(prompts, new_tokens, batch_size)), "useful": found["useful"] - len(prompts)}


def waste_prompt_by_prompt(prompts, new_tokens, batch_size):
    """Prefills one prompt after the other, and decodes together."""
    return {
        **waste_of(prompts, new_tokens, batch_size),
        "steps": sum(len(n) + max(n) - 1 for _, n in batches(prompts, new_tokens, batch_size)),
    }


def waste_prompts_only(prompts, new_tokens, batch_size):
    return {**waste_of(prompts, new_tokens, batch_size), "useful": sum(prompts)}


def waste_answers_only(prompts, new_tokens, batch_size):
    return {**waste_of(prompts, new_tokens, batch_size), "useful": sum(new_tokens)}


def waste_range(prompts, new_tokens, batch_size):
    """Counts the runs from the one after a sequence's last token to the last but one."""
    idle = sum(len(range(n + 1, max(texts))) for _, texts in batches(prompts, new_tokens, batch_size) for n in texts)
    return {**waste_of(prompts, new_tokens, batch_size), "idle": idle}


def waste_overwrites(prompts, new_tokens, batch_size):
    found = {"steps": 0, "useful": 0, "padding": 0, "idle": 0}
    for p, n in batches(prompts, new_tokens, batch_size):
        found = waste_of(p, n, batch_size)
    return found


def waste_returns_early(prompts, new_tokens, batch_size):
    for p, n in batches(prompts, new_tokens, batch_size):
        return waste_of(p, n, batch_size)
    return waste_of([], [], 1)


def waste_sorts(prompts, new_tokens, batch_size):
    return waste_of(sorted(prompts), new_tokens, batch_size)


def waste_list(prompts, new_tokens, batch_size):
    return [*waste_of(prompts, new_tokens, batch_size).values()]


def waste_by_batch(prompts, new_tokens, batch_size):
    return [waste_of(p, n, batch_size) for p, n in batches(prompts, new_tokens, batch_size)]


def waste_floats(prompts, new_tokens, batch_size):
    return {name: number / 1 for name, number in waste_of(prompts, new_tokens, batch_size).items()}


def waste_rectangles_of_the_size(prompts, new_tokens, batch_size):
    """Rectangles of batch_size rows, the last one too."""
    found = waste_of(prompts, new_tokens, batch_size)
    for p, n in batches(prompts, new_tokens, batch_size):
        found["padding"] += (batch_size - len(p)) * max(p)
        found["idle"] += (batch_size - len(n)) * max(n)
    return found


def waste_all_is_padding(prompts, new_tokens, batch_size):
    """Fills prompts and outputs up to the longest of both."""
    found = waste_of(prompts, new_tokens, batch_size)
    return {**found, "padding": found["padding"] + found["idle"]}


def waste_longest_batch(prompts, new_tokens, batch_size):
    steps = 0
    for _, n in batches(prompts, new_tokens, batch_size):
        steps = max(steps, max(n))
    return {**waste_of(prompts, new_tokens, batch_size), "steps": steps}


def waste_pads_the_last_batch(prompts, new_tokens, batch_size):
    found, missing = waste_of(prompts, new_tokens, batch_size), -len(prompts) % batch_size
    last = prompts[len(prompts) - (batch_size - missing) :]
    return {**found, "padding": found["padding"] + missing * max(last, default=0)}


CASES = {
    "09.static_waste": [
        ("last new token of each request", waste_counts_last),
        ("counted as one run more", waste_prefill_apart),
        ("longest of all batches", waste_one_shape),
        ("filled up", waste_full_rows),
        ("left out", waste_whole_batches),
        ("sorted", waste_shortest_first),
        ("lists are changed", waste_pops),
        (None, waste_swaps),
        ("a run of its own", waste_prompt_by_prompt),
        ("new tokens are left out", waste_prompts_only),
        ("prompts are left out", waste_answers_only),
        ("one too many or too few", waste_range),
        ("only one batch", waste_overwrites),
        ("only one batch", waste_returns_early),
        ("sorted", waste_sorts),
        ("without their names", waste_list),
        (None, waste_by_batch),
        ("with a fraction", waste_floats),
        ("smaller last batch is filled up", waste_rectangles_of_the_size),
        ("idle tokens are counted as padding", waste_all_is_padding),
        ("length of one batch", waste_longest_batch),
        ("smaller last batch is filled up", waste_pads_the_last_batch),
    ]
}
