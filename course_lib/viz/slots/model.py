"""The data of the batch slots: which batch runs when, what each slot does, which requests wait, and sums by step.

A batch is a run [start, end, places in `requests`]; a request is [arrival, prompt tokens, new tokens]. The browser
reads them in the same way: batches.js.
"""

from itertools import accumulate

from course_lib.errors import ParameterError
from course_lib.viz.kit.format import count, enumerated, percent, request_name
from course_lib.viz.kit.inputs import some, whole

DOES = {
    "prompt": "prompt",
    "token": "one token",
    "over": "finished, still computed",
    "empty": "empty, others run",
    "none": "empty, nothing runs",
}
"""Kind of a cell -> what the slot does in a step: it computes a prompt, padded to the longest of the batch; one useful
token; one token of a sequence that is finished; nothing while the others run; nothing, as no batch runs."""


def slots_data(requests, batches, num_slots, names, title):
    """What the browser draws from. Raises ParameterError where requests and batches do not fit together."""
    requests = [_request(index, one) for index, one in enumerate(some("requests", requests))]
    names = [request_name(i) for i in range(len(requests))] if names is None else [str(one) for one in names]
    if len(names) != len(requests):
        raise ParameterError(f"{len(names)} names came for {len(requests)} requests. Give one for each, or none.")
    runs = _runs(requests, batches)
    largest = max((len(run[2]) for run in runs), default=1)
    num_slots = whole("num_slots", largest if num_slots is None else num_slots, largest)
    last = max(1, max((run[1] for run in runs), default=0), *(arrival + 1 for arrival, _, _ in requests))
    parts = count(len(requests), "request"), count(num_slots, "slot"), count(len(runs), "batch", "batches")
    data = {
        "title": title,
        "subtitle": ", ".join(parts),
        "first": 1,
        "last": last,
        "requests": requests,
        "names": names,
        "slots": num_slots,
        "runs": runs,
        "does": DOES,
        "columns": ["batch slot", "does", "useful tokens", "wasted tokens"],
    }
    data["sums"] = _sums(data)
    data["say"] = [_words(data, step) for step in range(1, last + 1)]
    return data


def run_at(data, step):
    """The batch [start, end, places] that runs in this step, or None."""
    return next((run for run in data["runs"] if run[0] < step <= run[1]), None)


def cell(data, run, slot, step):
    """(kind, request or None, useful tokens, wasted tokens) of a slot in a step, in which `run` runs (or None)."""
    if run is None:
        return "none", None, 0, 0
    start, _, places = run
    if slot >= len(places):
        return "empty", None, 0, 0
    _, prompt, new = data["requests"][places[slot]]
    if step == start + 1:
        return "prompt", places[slot], prompt, _longest(data, run) - prompt
    return ("token", places[slot], 1, 0) if step - start <= new else ("over", places[slot], 0, 1)


def waiting(data, step):
    """The requests that wait during this step, in order of arrival."""
    started = {i: run[0] for run in data["runs"] for i in run[2]}
    found = [i for i, (arrival, _, _) in enumerate(data["requests"]) if arrival < step and started.get(i, step) >= step]
    return sorted(found, key=lambda i: data["requests"][i][0])


def _longest(data, run):
    return max(data["requests"][i][1] for i in run[2])


def _request(index, one):
    try:
        arrival, prompt, new = one
    except (TypeError, ValueError):
        raise ParameterError(
            f"requests[{index}] is {one!r}; a request is (arrival, num_prompt_tokens, num_new_tokens)."
        ) from None
    where = f"requests[{index}]"
    return [
        whole(f"{where}[0], the arrival,", arrival),
        whole(f"{where}[1], the tokens of its prompt,", prompt, 1),
        whole(f"{where}[2], its new tokens,", new, 1),
    ]


def _runs(requests, batches):
    """[[start, end, places], ...] of the batches, one after the other."""
    runs, seen, free = [], set(), 0
    for index, batch in enumerate(batches):
        start, places = _batch(index, batch, len(requests))
        if start < free:
            raise ParameterError(
                f"batches[{index}] starts after step {start}, when the one before it still runs: it ends after step "
                f"{free}. A batch begins when the last one is over."
            )
        for i in places:
            if i in seen:
                raise ParameterError(
                    f"batches[{index}] has request {i}, which was served already. Each request belongs to one batch."
                )
            if requests[i][0] > start:
                raise ParameterError(
                    f"batches[{index}] starts after step {start} with request {i}, which arrives after step "
                    f"{requests[i][0]}. A request cannot be served before it arrives."
                )
            seen.add(i)
        free = start + max(requests[i][2] for i in places)
        runs.append([start, free, places])
    return runs


def _batch(index, batch, num_requests):
    """(start, places) of a Batch of course_lib.batching, or of such a pair."""
    try:
        start, places = (batch.start, batch.requests) if hasattr(batch, "requests") else batch
        places = list(places)
    except (TypeError, ValueError):
        raise ParameterError(f"batches[{index}] is {batch!r}; a batch is (start, places in `requests`).") from None
    start = whole(f"the start of batches[{index}]", start)
    places = [whole(f"a request of batches[{index}]", i, 0, num_requests - 1) for i in places]
    if not places:
        raise ParameterError(f"batches[{index}] is empty. A batch has at least one request; leave it out.")
    return start, places


def _sums(data):
    """[useful, padding, finished but computed, empty slots] up to each step."""
    each = [[0, 0, 0, data["slots"]] for _ in range(data["last"])]
    for run in data["runs"]:
        start, end, places = run
        prompts, new = zip(*(data["requests"][i][1:] for i in places))
        each[start][:3] = sum(prompts), _longest(data, run) * len(places) - sum(prompts), 0
        for step in range(start, end):
            each[step][3] -= len(places)
            if step > start:
                live = sum(number > step - start for number in new)
                each[step][:3] = live, 0, len(places) - live
    return [list(total) for total in accumulate(each, lambda a, b: [x + y for x, y in zip(a, b)])]


def _words(data, step):
    run, queue = run_at(data, step), waiting(data, step)
    arrived = [data["names"][i] for i, (arrival, _, _) in enumerate(data["requests"]) if arrival == step - 1]
    words = [["", f"{enumerated(arrived)} {'arrives' if len(arrived) == 1 else 'arrive'}. "]] if arrived else []
    if run is None:
        words += [["strong", "Nothing runs"], ["", f": {_why(queue)}. "]]
    elif step == run[0] + 1:
        words += _begins(data, run, step)
    else:
        words += _goes_on(data, run, step)
    if run is not None and queue:
        words.append(["", f"{count(len(queue), 'request')} {'waits' if len(queue) == 1 else 'wait'}. "])
    useful, padding, idle, _ = data["sums"][step - 1]
    computed = useful + padding + idle
    if computed:
        words.append(["", f"So far {percent(useful / computed)} of {count(computed, 'token')} computed were useful."])
    return words


def _begins(data, run, step):
    cells = [cell(data, run, slot, step) for slot in range(len(run[2]))]
    padding, longest = sum(wasted for *_, wasted in cells), cells[0][2] + cells[0][3]
    tokens = count(longest, "token")
    prompts = f" Prompts are padded to {tokens}" if padding else f" All prompts have {tokens}"
    names = enumerated([data["names"][i] for i in run[2]])
    return [
        ["strong", f"A batch of {len(run[2])} starts: {names}."],
        ["", prompts],
        ["", f", {padding:,} of {longest * len(run[2]):,} are padding. " if padding else ". "],
    ]


def _goes_on(data, run, step):
    over = [data["names"][i] for slot, i in enumerate(run[2]) if cell(data, run, slot, step)[0] == "over"]
    live = len(run[2]) - len(over)
    finished = f" {enumerated(over)} {'is' if len(over) == 1 else 'are'} finished and still computed. " if over else " "
    verb = "writes" if live == 1 else "write"
    return [["strong", f"{live} of {count(len(run[2]), 'request')} {verb} a token."], ["", finished]]


def _why(queue):
    if not queue:
        return "no request has arrived"
    requests = f"{count(len(queue), 'request')} {'waits' if len(queue) == 1 else 'wait'}"
    return f"{requests} for more to arrive, or for the timeout"
