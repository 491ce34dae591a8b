"""Batch slots over time: what each slot of a static or dynamic batch computes in every run of the model, and who waits."""

from itertools import accumulate

from course_lib.errors import ParameterError
from course_lib.viz.kit.base import View
from course_lib.viz.kit.inputs import count, some, whole
from course_lib.viz.kit.still import percent
from course_lib.viz.memory.view import name

KINDS = ("prompt", "token", "over", "empty", "none")
"""What a slot does in a step: pushes a prompt, filled up to the longest of the batch; pushes one token that is wanted; pushes one
for a text that is over; holds nobody while the others run; holds nobody while nothing runs."""


def batch_slots(requests, batches, num_slots=None, *, names=None, title="Batch slots over time"):
    """One row a slot, one column a step, which is one run of the model. Below: who waits, and what the tokens pushed so far were for.

    requests: tuples (arrival, num_prompt_tokens, num_new_tokens); the arrival is how many steps were over when it came.
    batches: Batch of course_lib.engine, or tuples (start, places in `requests`), one after the other: `start` steps were over when
        it started, and it takes as many steps as its longest text has tokens.
    num_slots: rows; default: the size of the largest batch. names: what the requests are called; default: R0, R1, …
    `selected` is a request (its place in `requests`) or None. Raises ParameterError where these do not fit together.
    """
    requests = [_request(index, one) for index, one in enumerate(some("requests", requests))]
    names = [name(i) for i in range(len(requests))] if names is None else [str(one) for one in names]
    if len(names) != len(requests):
        raise ParameterError(f"{len(names)} names came for {len(requests)} requests. Give one for each, or none.")
    runs = _runs(requests, batches)
    largest = max((len(run[2]) for run in runs), default=1)
    num_slots = whole("num_slots", largest if num_slots is None else num_slots, largest)
    last = max(1, max((run[1] for run in runs), default=0), *(arrival + 1 for arrival, _, _ in requests))
    data = {
        "title": title,
        "subtitle": f"{count(len(requests), 'request')}, {count(num_slots, 'slot')}, {count(len(runs), 'batch').replace('batchs', 'batches')}",
        "first": 1,
        "last": last,
        "requests": requests,
        "names": names,
        "slots": num_slots,
        "runs": runs,
        "columns": ["who", "does", "tokens of use", "for nothing"],
    }
    data["sums"] = _sums(data)
    data["say"] = [_words(data, step) for step in range(1, last + 1)]
    return BatchSlots(data)


class BatchSlots(View):
    """See `batch_slots`."""

    name = "slots"
    noun = "view of batch slots"

    def check_selected(self, selected):
        last = len(self.data["requests"]) - 1
        if selected is None or (type(selected) is int and 0 <= selected <= last):
            return selected
        raise ParameterError(
            f"selected = {selected!r} is no request; there are 0 to {last}, in the order given. Give one of them, or None."
        )

    def shares(self, step=None):
        """{"useful", "padding", "idle": tokens pushed up to this step, "empty": slots that held nobody, a slot and a step each}."""
        return dict(zip(("useful", "padding", "idle", "empty"), self.data["sums"][self._at(step) - 1]))

    def _rows(self, step):
        data = self.data
        rows = [_row(data, slot, step) for slot in range(data["slots"])]
        queue = [data["names"][i] for i in waiting(data, step)]
        return [
            *rows,
            [
                "queue",
                ", ".join(queue[:12]) + (f" and {len(queue) - 12} more" if len(queue) > 12 else "") or "nobody",
                "",
                "",
            ],
        ]

    def _poster(self):
        return max(1, round(0.7 * self.last))

    def _paint(self, step):
        from .still import paint

        return paint(self.data, step)


def run_at(data, step):
    """The run [start, end, places] of the batch that runs in this step, or None."""
    return next((run for run in data["runs"] if run[0] < step <= run[1]), None)


def cell(data, run, slot, step):
    """(kind, request or None, tokens of use, tokens for nothing) of a slot in a step, in which `run` runs (or None)."""
    if run is None:
        return "none", None, 0, 0
    start, _, places = run
    if slot >= len(places):
        return "empty", None, 0, 0
    _, prompt, new = data["requests"][places[slot]]
    if step == start + 1:
        return "prompt", places[slot], prompt, _longest(data, run) - prompt
    return ("token", places[slot], 1, 0) if step - start <= new else ("over", places[slot], 0, 1)


def _longest(data, run):
    return max(data["requests"][i][1] for i in run[2])


def waiting(data, step):
    """The requests that wait during this step, in order of arrival."""
    started = {i: run[0] for run in data["runs"] for i in run[2]}
    found = [i for i, (arrival, _, _) in enumerate(data["requests"]) if arrival < step and started.get(i, step) >= step]
    return sorted(found, key=lambda i: data["requests"][i][0])


def _request(index, one):
    try:
        arrival, prompt, new = one
    except (TypeError, ValueError):
        raise ParameterError(
            f"requests[{index}] is {one!r}; a request is (arrival, num_prompt_tokens, num_new_tokens)."
        ) from None
    return [whole(f"requests[{index}][0], the arrival,", arrival), whole(f"requests[{index}][1], the tokens of its prompt,", prompt, 1),
            whole(f"requests[{index}][2], its new tokens,", new, 1)]  # fmt: skip


def _runs(requests, batches):
    """[[start, end, places], ...] of the batches, one after the other."""
    runs, seen, free = [], set(), 0
    for index, batch in enumerate(batches):
        try:
            start, places = (batch.start, batch.requests) if hasattr(batch, "requests") else batch
            places = list(places)
        except (TypeError, ValueError):
            raise ParameterError(f"batches[{index}] is {batch!r}; a batch is (start, places in `requests`).") from None
        start, places = (
            whole(f"the start of batches[{index}]", start),
            [whole(f"a request of batches[{index}]", i, 0, len(requests) - 1) for i in places],
        )
        if not places:
            raise ParameterError(f"batches[{index}] is empty. A batch has at least one request; leave it out.")
        if start < free:
            raise ParameterError(f"batches[{index}] starts after step {start}, when the one before it still runs: it ends after step {free}. "
                                 "A batch begins when the last one is over.")  # fmt: skip
        for i in places:
            if i in seen:
                raise ParameterError(
                    f"batches[{index}] has request {i}, which was served already. Each request belongs to one batch."
                )
            if requests[i][0] > start:
                raise ParameterError(f"batches[{index}] starts after step {start} with request {i}, which comes after step {requests[i][0]}. "
                                     "Nobody can be served before coming.")  # fmt: skip
            seen.add(i)
        free = start + max(requests[i][2] for i in places)
        runs.append([start, free, places])
    return runs


def _sums(data):
    """[useful, padding, idle, empty] up to each step."""
    each = [[0, 0, 0, data["slots"]] for _ in range(data["last"])]
    for run in data["runs"]:
        start, end, places = run
        lengths, texts = zip(*(data["requests"][i][1:] for i in places))
        each[start][:3] = sum(lengths), _longest(data, run) * len(places) - sum(lengths), 0
        for step in range(start, end):
            each[step][3] -= len(places)
            if step > start:
                live = sum(text > step - start for text in texts)
                each[step][:3] = live, 0, len(places) - live
    return [list(total) for total in accumulate(each, lambda a, b: [x + y for x, y in zip(a, b)])]


def _row(data, slot, step):
    kind, request, useful, wasted = cell(data, run_at(data, step), slot, step)
    does = {
        "prompt": "prompt",
        "token": "one token",
        "over": "is over, computed on",
        "empty": "nobody, while others run",
        "none": "nobody, nothing runs",
    }[kind]
    return [f"slot {slot}" + (f", {data['names'][request]}" if request is not None else ""), does, useful, wasted]


def _words(data, step):
    names, run = data["names"], run_at(data, step)
    queue = waiting(data, step)
    come = [i for i, (arrival, _, _) in enumerate(data["requests"]) if arrival == step - 1]
    words = [["", f"{listed([names[i] for i in come])} {'comes' if len(come) == 1 else 'come'}. "]] if come else []
    if run is None:
        words += [["strong", "Nothing runs"], ["", f": {_wait(queue)}. "]]
    elif step == run[0] + 1:
        cells = [cell(data, run, slot, step) for slot in range(len(run[2]))]
        padding, longest = sum(wasted for *_, wasted in cells), cells[0][2] + cells[0][3]
        words += [
            ["strong", f"A batch of {len(run[2])} starts: {listed([names[i] for i in run[2]])}."],
            [
                "",
                f" Prompts are filled up to {count(longest, 'token')}"
                if padding
                else f" All prompts have {count(longest, 'token')}",
            ],
            ["", f", {padding:,} of {longest * len(run[2]):,} are padding. " if padding else ". "],
        ]
    else:
        over = [names[i] for slot, i in enumerate(run[2]) if cell(data, run, slot, step)[0] == "over"]
        live = len(run[2]) - len(over)
        words += [
            ["strong", f"{live} of {count(len(run[2]), 'row')} {'writes' if live == 1 else 'write'} a token."],
            ["", f" {listed(over)} {'is' if len(over) == 1 else 'are'} over and computed on. " if over else " "],
        ]
    if run is not None and queue:
        words.append(["", f"{count(len(queue), 'request')} {'waits' if len(queue) == 1 else 'wait'}. "])
    useful, padding, idle, _ = data["sums"][step - 1]
    pushed = useful + padding + idle
    return (
        [*words, ["", f"So far {percent(useful / pushed)} of {count(pushed, 'token')} pushed were of use."]]
        if pushed
        else words
    )


def _wait(queue):
    return (
        "nobody is here"
        if not queue
        else f"{count(len(queue), 'request')} {'waits' if len(queue) == 1 else 'wait'} for more to come, or for the time to be up"
    )


def listed(names, most=6):
    """["a", "b", "c"] -> "a, b and c"; more than `most` are counted."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
