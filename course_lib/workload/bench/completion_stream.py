"""The answer of a server to a streaming /v1/completions: server-sent events, and what they say about one request.

data: {"choices": [{"text": " harbour", "finish_reason": null}]}
data: {"choices": [{"text": ".", "finish_reason": "length"}]}
data: {"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 2}}
data: [DONE]
"""

import json

from course_lib.engine.metrics import RequestMetrics

LONGEST_PROBLEM = 160


class EventReader:
    """Puts server-sent events together from pieces of bytes that are cut anywhere, also inside of a character.

    Lines end in \\n or \\r\\n; an event ends at an empty line. Only `data` is read. The lines are split here as bytes,
    because str.splitlines also splits at characters such as U+2028, which JSON may hold.
    """

    def __init__(self):
        self._rest, self._data = b"", []

    def read(self, piece):
        """The data of each event that this piece of bytes completes, as text."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line.removeprefix(b"data:").removeprefix(b" "))
            elif not line and self._data:
                data, self._data = b"\n".join(self._data), []
                yield data.decode("utf-8", errors="replace")


class CompletionStream:
    """What has come of one answer. now: a function that says the seconds since the start of the run."""

    def __init__(self, now):
        self._now, self._events = now, EventReader()
        self.token_ids = []  # of the answer, where the server tells them (vLLM: with return_token_ids)
        self._times = []  # of each piece of text
        self._usage, self._finish_reason, self._error, self.is_over = {}, None, None, False

    def read(self, piece):
        """A piece of bytes of the answer. Raises ValueError for what is no completion."""
        for data in self._events.read(piece):
            if self.is_over:
                return
            if data.strip() == "[DONE]":
                self.is_over = True
                continue
            event = json.loads(data)
            if not isinstance(event, dict):
                raise ValueError(f"an event of the stream is no object: {data[:40]}")
            if event.get("error"):
                error = event["error"]
                self._error = str(error.get("message", error) if isinstance(error, dict) else error)
            self._usage = checked_usage(event.get("usage")) or self._usage
            for choice in event.get("choices") or ():
                if choice.get("text"):
                    self._times.append(self._now())
                self.token_ids += checked_ids(choice.get("token_ids"))
                self._finish_reason = choice.get("finish_reason") or self._finish_reason

    def problem(self, max_tokens):
        """Why the answer is not a whole one; None if it is. max_tokens: how many were asked for."""
        if self._error is not None:
            return f"error in the stream: {self._error}"
        if not self.is_over:
            return "the stream ended before [DONE]"
        if self._finish_reason not in ("stop", "length"):
            return f"the request ended with finish_reason {self._finish_reason!r}"
        if self._num_tokens > max_tokens:
            return f"{self._num_tokens} tokens came, and {max_tokens} were asked for"
        return None if self._times else "no token came"

    @property
    def _num_tokens(self):
        return self._usage.get("completion_tokens") or len(self._times)

    def metrics(self, arrival, problem):
        """The RequestMetrics of a request that has ended, with this problem or None.

        The number of tokens is that of `usage`. Where the server says none, each piece of text counts as one token.
        Where there are more tokens than pieces, they are spread evenly over the pieces: TTFT, TPOT and E2EL are exact
        then, and ITL is not. As in `vllm bench serve`, E2EL ends with the last token.
        """
        found = RequestMetrics(arrival.at, self._usage.get("prompt_tokens") or len(arrival.token_ids))
        found.num_cached_tokens = (self._usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        found.token_times = spread(self._times, self._num_tokens) if problem is None else self._times
        found.finish_reason = self._finish_reason if problem is None else "error"
        found.finished = found.token_times[-1] if problem is None else self._now()
        return found


def checked_usage(usage):
    """The `usage` of an event, or None. Raises ValueError for one that is not made of counts."""
    if usage is None:
        return None
    details = (usage.get("prompt_tokens_details") or {}) if isinstance(usage, dict) else None
    if not isinstance(details, dict):
        raise ValueError(f"usage is {usage!r}, but it is an object of counts")
    for count in (usage.get("prompt_tokens"), usage.get("completion_tokens"), details.get("cached_tokens")):
        if count is not None and (type(count) is not int or count < 0):
            raise ValueError(f"usage says {count!r}, but that is no count of tokens")
    return usage


def checked_ids(token_ids):
    """The `token_ids` of a choice, or []. Raises ValueError for what is no list of token ids."""
    if not isinstance(token_ids or [], list) or any(type(one) is not int or one < 0 for one in token_ids or ()):
        raise ValueError(f"token_ids is {str(token_ids)[:40]}, but it is a list of token ids")
    return token_ids or []


def spread(times, n):
    """n times out of these, evenly, the first and the last one included: [] if there are none."""
    if not times or n < 2:
        return times[-1:]
    return [times[round(k * (len(times) - 1) / (n - 1))] for k in range(n)]


def one_line(text):
    """A message for a table: one line, not too long."""
    text = " ".join(str(text).split())
    return text if len(text) <= LONGEST_PROBLEM else f"{text[: LONGEST_PROBLEM - 1]}…"
