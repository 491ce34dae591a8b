"""Wrong answers for lesson 09 as people write them; see written_otherwise.py."""

import heapq
from itertools import zip_longest
from queue import Queue


def cost_each_reads(model, seq_lens, flops_per_s, bytes_per_s):
    """Sums up single steps."""
    flops = moved = 0
    for n in seq_lens:
        flops += 2 * model["num_weights"] + 4 * model["num_layers"] * model["num_heads"] * model["head_dim"] * n
        moved += model["itemsize"] * (
            model["num_weights"] + 2 * model["num_layers"] * model["num_kv_heads"] * model["head_dim"] * n
        )
    return {
        "flops": flops,
        "bytes": moved,
        "intensity": flops / moved,
        "seconds": max(flops / flops_per_s, moved / bytes_per_s),
    }


def cost_weights_only(model, seq_lens, flops_per_s, bytes_per_s):
    w, s, b = model["num_weights"], model["itemsize"], len(seq_lens)
    extra = 4 * model["num_layers"] * model["num_heads"] * model["head_dim"] * sum(seq_lens)
    return dict(
        flops=2 * w * b + extra,
        bytes=w * s,
        intensity=(2 * w * b + extra) / (w * s),
        seconds=max((2 * w * b + extra) / flops_per_s, w * s / bytes_per_s),
    )


def cost_multi_head(model, seq_lens, flops_per_s, bytes_per_s):
    head = model["num_heads"] * model["head_dim"] * model["num_layers"]
    flops = sum(2 * model["num_weights"] + 4 * head * n for n in seq_lens)
    moved = model["itemsize"] * (model["num_weights"] + sum(2 * head * n for n in seq_lens))
    return {
        "flops": flops,
        "bytes": moved,
        "intensity": flops / moved,
        "seconds": max(flops / flops_per_s, moved / bytes_per_s),
    }


def cost_macs(model, seq_lens, flops_per_s, bytes_per_s):
    macs = len(seq_lens) * model["num_weights"] + 2 * model["num_layers"] * model["num_heads"] * model[
        "head_dim"
    ] * sum(seq_lens)
    moved = model["itemsize"] * (
        model["num_weights"] + 2 * model["num_layers"] * model["num_kv_heads"] * model["head_dim"] * sum(seq_lens)
    )
    return {
        "flops": macs,
        "bytes": moved,
        "intensity": macs / moved,
        "seconds": max(macs / flops_per_s, moved / bytes_per_s),
    }


def cost_in_turn(model, seq_lens, flops_per_s, bytes_per_s):
    """First it reads, then it computes."""
    found = cost_right(model, seq_lens)
    return {**found, "seconds": found["flops"] / flops_per_s + found["bytes"] / bytes_per_s}


def cost_right(model, seq_lens):
    wide = model["num_layers"] * model["head_dim"] * sum(seq_lens)
    flops = 2 * model["num_weights"] * len(seq_lens) + 4 * wide * model["num_heads"]
    moved = (model["num_weights"] + 2 * wide * model["num_kv_heads"]) * model["itemsize"]
    return {"flops": flops, "bytes": moved, "intensity": flops / moved}


def cost_padded(model, seq_lens, flops_per_s, bytes_per_s):
    found = cost_right(model, [max(seq_lens)] * len(seq_lens))
    return {**found, "seconds": max(found["flops"] / flops_per_s, found["bytes"] / bytes_per_s)}


def cost_milliseconds(model, seq_lens, flops_per_s, bytes_per_s):
    found = cost_right(model, seq_lens)
    return {**found, "seconds": 1000 * max(found["flops"] / flops_per_s, found["bytes"] / bytes_per_s)}


def cost_shows(model, seq_lens, flops_per_s, bytes_per_s):
    print(cost_right(model, seq_lens))


def cost_from(lens, model, flops_per_s, bytes_per_s, **changed):
    found = cost_right(model | changed, lens)
    return {**found, "seconds": max(found["flops"] / flops_per_s, found["bytes"] / bytes_per_s)}


def cost_before(model, seq_lens, flops_per_s, bytes_per_s):
    """The cache as it is before the step."""
    return cost_from([n - 1 for n in seq_lens], model, flops_per_s, bytes_per_s)


def cost_after(model, seq_lens, flops_per_s, bytes_per_s):
    return cost_from([n + 1 for n in seq_lens], model, flops_per_s, bytes_per_s)


def cost_every_layer(model, seq_lens, flops_per_s, bytes_per_s):
    return cost_from(seq_lens, model, flops_per_s, bytes_per_s, num_weights=model["num_weights"] * model["num_layers"])


def cost_no_cache(model, seq_lens, flops_per_s, bytes_per_s):
    """Every token of every text goes through the matrices again."""
    found = cost_from(seq_lens, model, flops_per_s, bytes_per_s)
    found["flops"] += 2 * model["num_weights"] * sum(n - 1 for n in seq_lens)
    return {
        **found,
        "intensity": found["flops"] / found["bytes"],
        "seconds": max(found["flops"] / flops_per_s, found["bytes"] / bytes_per_s),
    }


def cost_exchanged(model, seq_lens, flops_per_s, bytes_per_s):
    return cost_from(
        seq_lens, model, flops_per_s, bytes_per_s, num_heads=model["num_kv_heads"], num_kv_heads=model["num_heads"]
    )


def cost_small_weights(model, seq_lens, flops_per_s, bytes_per_s):
    """The factor in front of the cache alone."""
    found = cost_right(model, seq_lens)
    found["bytes"] -= model["num_weights"] * (model["itemsize"] - 1)
    return {
        **found,
        "intensity": found["flops"] / found["bytes"],
        "seconds": max(found["flops"] / flops_per_s, found["bytes"] / bytes_per_s),
    }


def cost_each(model, seq_lens, flops_per_s, bytes_per_s):
    found = cost_from(seq_lens, model, flops_per_s, bytes_per_s)
    return {**found, "seconds": found["seconds"] / len(seq_lens)}


def cost_whole(model, seq_lens, flops_per_s, bytes_per_s):
    found = cost_from(seq_lens, model, flops_per_s, bytes_per_s)
    return {**found, "intensity": int(found["intensity"])}


def cost_tuple(model, seq_lens, flops_per_s, bytes_per_s):
    return tuple(cost_from(seq_lens, model, flops_per_s, bytes_per_s).values())


def cost_writes(model, seq_lens, flops_per_s, bytes_per_s):
    model["batch"] = len(seq_lens)
    return cost_from(seq_lens, model, flops_per_s, bytes_per_s)


def cost_misspelt(model, seq_lens, flops_per_s, bytes_per_s):
    return {name.upper(): number for name, number in cost_from(seq_lens, model, flops_per_s, bytes_per_s).items()}


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
    """Counts the runs from the one after a text's last token to the last but one."""
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


class Debounced:
    """Waits until nobody has come for a while, as a search box does."""

    def __init__(self, max_batch_size, timeout):
        self.n, self.wait, self.queue, self.last = max_batch_size, timeout, [], None

    def add(self, request, now):
        self.queue.append(request)
        self.last = now

    def ready_at(self):
        return self.last + self.wait if self.queue else None

    def take(self, now):
        if not self.queue or now - self.last < self.wait and len(self.queue) < self.n:
            return []
        batch, self.queue = self.queue[: self.n], self.queue[self.n :]
        return batch


class Simple:
    """A list of (time, request); what a subclass changes is wrong."""

    def __init__(self, max_batch_size, timeout):
        self.n, self.wait, self.queue = max_batch_size, timeout, []

    def add(self, request, now):
        self.queue.append((now, request))

    def ready_at(self):
        if not self.queue:
            return None
        return self.queue[0][0] if len(self.queue) >= self.n else self.queue[0][0] + self.wait

    def ready(self, now):
        return bool(self.queue) and (len(self.queue) >= self.n or now - self.queue[0][0] >= self.wait)

    def take(self, now):
        if not self.ready(now):
            return []
        batch, self.queue = self.queue[: self.n], self.queue[self.n :]
        return [request for _, request in batch]


class OnlyFull(Simple):
    def ready(self, now):
        return len(self.queue) // self.n > 0


class Eager(Simple):
    def ready(self, now):
        return self.queue != []


class Late(Simple):
    def ready(self, now):
        return bool(self.queue) and (len(self.queue) >= self.n or self.queue[0][0] + self.wait < now)


class Everybody(Simple):
    def take(self, now):
        if not self.ready(now):
            return []
        batch = [request for _, request in self.queue]
        self.queue.clear()
        return batch


class Forgetful(Simple):
    def take(self, now):
        batch = [request for _, request in self.queue[: self.n]] if self.ready(now) else []
        if batch:
            self.queue = []
        return batch


class NoneYet(Simple):
    def take(self, now):
        if self.ready(now):
            return super().take(now)


class Restarted(Simple):
    """Who stays behind is put back as if it had just come."""

    def take(self, now):
        batch = super().take(now)
        if batch:
            self.queue = [(now, request) for _, request in self.queue]
        return batch


class Stack(Simple):
    def take(self, now):
        return [self.queue.pop()[1] for _ in range(min(self.n, len(self.queue)))] if self.ready(now) else []


class Shortest(Simple):
    """A heap: the smallest name first, whenever it came. Backwards names would show."""

    def __init__(self, max_batch_size, timeout):
        super().__init__(max_batch_size, timeout)
        self.heap = []

    def take(self, now):
        if not self.ready(now):
            return []
        heapq.heapify(order := [(-ord(request[0]), came, request) for came, request in self.queue])
        batch = [heapq.heappop(order)[2] for _ in range(min(self.n, len(order)))]
        self.queue = [pair for pair in self.queue if pair[1] not in batch]
        return batch


class OnlyDue(Simple):
    """A filter by each one's own deadline."""

    def take(self, now):
        if len(self.queue) >= self.n:
            return super().take(now)
        due = [request for came, request in self.queue if now - came >= self.wait]
        self.queue = [(came, request) for came, request in self.queue if request not in due]
        return due


class Pairs(Simple):
    def take(self, now):
        batch = self.queue[: self.n] if self.ready(now) else []
        self.queue = self.queue[len(batch) :]
        return batch


class OneForAll:
    """The queue in the body of the class."""

    queue = []

    def __init__(self, max_batch_size, timeout):
        self.n, self.wait = max_batch_size, timeout

    def add(self, request, now):
        self.queue.append((now, request))

    ready, ready_at = Simple.ready, Simple.ready_at

    def take(self, now):
        return [self.queue.pop(0)[1] for _ in range(min(self.n, len(self.queue)))] if self.ready(now) else []


class ReadyFromLast(Simple):
    """`take` is right; the server is told to sleep for too long."""

    def ready_at(self):
        return (
            super().ready_at() if not 0 < len(self.queue) < self.n else max(came for came, _ in self.queue) + self.wait
        )


class PopsInLoop(Simple):
    """Takes from the list over which it loops, and so leaves out every other one."""

    def take(self, now):
        batch = []
        if self.ready(now):
            for pair in self.queue:
                if len(batch) < self.n:
                    batch.append(pair[1])
                    self.queue.remove(pair)
        return batch


class NoMethods:
    def __init__(self, max_batch_size, timeout):
        self.waiting = Queue()

    def add(self, request, now):
        self.waiting.put(request)


CASES = {
    "09.intensity": [
        ("read again for each text", cost_each_reads),
        ("cache is left out", cost_weights_only),
        ("query heads are counted", cost_multi_head),
        ("one operation", cost_macs),
        ("two times are added", cost_in_turn),
        ("as long as the longest", cost_padded),
        (None, cost_milliseconds),
        ("printed, not returned", cost_shows),
        ("newest token is left out", cost_before),
        ("newest token is counted twice", cost_after),
        ("once for each layer", cost_every_layer),
        ("for a prefill", cost_no_cache),
        ("are exchanged", cost_exchanged),
        ("not bytes", cost_small_weights),
        ("divided among", cost_each),
        ("rounded", cost_whole),
        ("without their names", cost_tuple),
        ("data are changed", cost_writes),
        (None, cost_misspelt),
    ],
    "09.static_waste": [
        ("last token of each text", waste_counts_last),
        ("counted apart", waste_prefill_apart),
        ("longest of all", waste_one_shape),
        ("filled up", waste_full_rows),
        ("left out", waste_whole_batches),
        ("sorted", waste_shortest_first),
        ("lists are changed", waste_pops),
        (None, waste_swaps),
        ("a run of its own", waste_prompt_by_prompt),
        ("new tokens are left out", waste_prompts_only),
        ("prompts are left out", waste_answers_only),
        ("one off", waste_range),
        ("only one batch", waste_overwrites),
        ("only one batch", waste_returns_early),
        ("sorted", waste_sorts),
        ("without their names", waste_list),
        (None, waste_by_batch),
        ("with a fraction", waste_floats),
    ],
    "09.dynamic_batcher": [
        ("begins again with each arrival", Debounced),
        ("only when full", OnlyFull),
        ("as soon as anybody", Eager),
        ("one step too late", Late),
        ("all who wait", Everybody),
        ("forgotten", Forgetful),
        ("None says", NoneYet),
        ("wait anew", Restarted),
        ("newest", Stack),
        ("newest", Shortest),
        ("method is missing", NoMethods),
        ("own time is not up", OnlyDue),
        ("come along", Pairs),
        ("share one queue", OneForAll),
        ("begins again with each arrival", ReadyFromLast),
        (None, PopsInLoop),
    ],
}
