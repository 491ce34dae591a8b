"""What comes out of an engine: outputs, and their text, which ends at a stop string."""

from copy import copy

from .metrics import RequestMetrics
from .text import Text


class Detokenizer:
    """The text of a sequence as it grows, up to the first stop string.

    tokenizer: a Tokenizer. prompt: the token ids before the text. stop: strings that end it. What is handed out never
    shrinks: an end of the text that may be the beginning of a stop string waits until that is decided.
    """

    def __init__(self, tokenizer, prompt, stop=()):
        self._text, self._stop = Text(tokenizer, prompt), tuple(stop)
        self._longest = max(map(len, self._stop), default=0)
        self._num_searched = 0  # characters in which no stop string is
        self._num_waiting = 0  # characters at the end that may begin one
        self._end = None  # where the text is cut

    def append(self, token_id):
        """One token more. Whether the text has reached a stop string; it is cut where that begins."""
        added = self._text.append(token_id)
        if not self._stop:
            return False
        settled, held = self._text.settled, self._text.held
        # Characters that were held and are settled now may have become others.
        searched = min(self._num_searched, len(settled) - len(added))
        start = max(0, searched - self._longest + 1)
        recent = settled[start:] + held if start < len(settled) else held[start - len(settled) :]
        if any(s in recent for s in self._stop):
            whole = self._text.so_far(finished=bool(held))
            found = [at for at in (whole.find(s, start) for s in self._stop) if at >= 0]
            if found:
                self._end = whole[: min(found)]
                return True
        self._num_searched = len(settled) + len(held)
        if added:
            self._num_waiting = max(begun(settled, s) for s in self._stop)
        return False

    def so_far(self, *, finished=False):
        """The text that stays as it is; finished: all of it, because no token follows."""
        if self._end is not None:
            return self._end
        text = self._text.so_far(finished=finished)
        return text if finished or not self._num_waiting else text[: -self._num_waiting]

    def fork(self):
        """The same beginning for another sequence."""
        other = copy(self)
        other._text = self._text.fork()
        return other


def begun(text, stop):
    """How many characters at the end of the text are a beginning of the stop string, and not all of it."""
    for count in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:count]):
            return count
    return 0


class TokenTexts:
    """Each token of a tokenizer as text, worked out once: for the trace."""

    def __init__(self, tokenizer):
        self._tokenizer, self._known = tokenizer, {}

    def of(self, token_id):
        """The text of one token; <id> where the model has more rows than its tokenizer has tokens."""
        if token_id not in self._known:
            known = token_id < self._tokenizer.vocab_size
            self._known[token_id] = self._tokenizer.token_text(token_id) if known else f"<{token_id}>"
        return self._known[token_id]


class RequestOutput:
    """What a step brought for one sequence of a request.

    request_id: what add_request returned. token_ids: the whole output so far; the token that ended it is the last.
    new_token_ids: what this step added. text: `token_ids` as text, without what is not a whole character yet, cut
    where a stop string begins; None without a tokenizer. finished, finish_reason: "stop" (an end token or a stop
    string), "length" (max_tokens) or "abort"; None while it goes on. metrics: its RequestMetrics. index: which of
    the `SamplingParams.n` sequences. start: where the output begins in the list of all its tokens. logprobs: for each
    of `token_ids` {token id: Logprob}, its own first; None where `SamplingParams.logprobs` is None.
    """

    __slots__ = (
        "request_id",
        "new_token_ids",
        "text",
        "finished",
        "finish_reason",
        "metrics",
        "index",
        "_ids",
        "_span",
        "_logprobs",
    )

    def __init__(
        self,
        request_id: str,
        token_ids: list,
        new_token_ids: list,
        text: str | None,
        finished: bool,
        finish_reason: str | None,
        metrics: RequestMetrics,
        index: int = 0,
        *,
        start: int = 0,
        logprobs: list | None = None,
    ):
        self.request_id, self.new_token_ids, self.text, self.finished = request_id, new_token_ids, text, finished
        self.finish_reason, self.metrics, self.index = finish_reason, metrics, index
        self._ids, self._span = token_ids, (start, len(token_ids))  # the list of the request, which only grows
        self._logprobs = logprobs  # likewise

    @property
    def token_ids(self):
        """The whole output so far."""
        start, end = self._span
        return self._ids[start:end]

    @property
    def logprobs(self):
        """{token id: Logprob} of each token of the output so far, or None."""
        start, end = self._span
        return None if self._logprobs is None else self._logprobs[: end - start]

    def __eq__(self, other):
        return isinstance(other, RequestOutput) and self._fields() == other._fields()

    def _fields(self):
        return self.request_id, self.index, self.token_ids, self.new_token_ids, self.text, self.finish_reason

    def __repr__(self):
        return (
            f"RequestOutput(request_id={self.request_id!r}, token_ids={self.token_ids}, "
            f"new_token_ids={self.new_token_ids}, text={self.text!r}, finished={self.finished}, "
            f"finish_reason={self.finish_reason!r}, index={self.index})"
        )


def with_logprobs(grown, tokens):
    """grown, as Scheduler.update returns it, each with the log probabilities of its token. tokens: the runner's."""
    if tokens.logprobs is not None:
        found = tokens.logprobs.by_name()
        for request, _ in grown:
            if request.logprobs is not None:
                request.logprobs.append(found[request.request_id])
    return grown
