"""What comes out of an engine: outputs, and text that grows token by token and ends at a stop string.

A token may hold only a part of a character, and its text can depend on the token before it. So each time a few
tokens are decoded together, and what is new is taken once it is a whole character.
"""

from .metrics import RequestMetrics

CONTEXT = 4  # tokens before the text that are decoded with it, since some tokenizers drop a space at the beginning
PART = "\N{REPLACEMENT CHARACTER}"


class Detokenizer:
    """The text of a sequence as it grows. prompt: the token ids before it. stop: strings that end it."""

    def __init__(self, tokenizer, prompt, stop=()):
        self._tokenizer, self._stop = tokenizer, stop
        self._tail = list(prompt[-CONTEXT:])  # decoded together; the first `_read` of them are in the text already
        self._read = len(self._tail)
        self._text, self._is_cut = "", False

    def append(self, token_id):
        """One token more. Whether the text has reached a stop string; it is cut where that begins."""
        self._tail.append(token_id)
        before, both = self._decode(self._tail[: self._read]), self._decode(self._tail)
        if both.endswith(PART):
            return False
        added = both[len(before) :]
        self._text += added
        self._tail, self._read = self._tail[self._read :], len(self._tail) - self._read
        return self._cut(added)

    def _cut(self, added):
        found = [self._text.find(s, max(0, len(self._text) - len(added) - len(s) + 1)) for s in self._stop]
        found = [at for at in found if at >= 0]
        if found:
            self._text, self._is_cut = self._text[: min(found)], True
        return bool(found)

    def so_far(self, *, finished=False):
        """The text; finished: with what never became a whole character, too."""
        if not finished or self._is_cut:
            return self._text
        return self._text + self._decode(self._tail)[len(self._decode(self._tail[: self._read])) :]

    def fork(self):
        """The same beginning for another sequence."""
        other = Detokenizer(self._tokenizer, (), self._stop)
        other._tail, other._read, other._text = self._tail[:], self._read, self._text
        return other

    def _decode(self, token_ids):
        # The backend passes over ids that no token has; a model may have more rows than its tokenizer has tokens.
        return self._tokenizer.backend.decode(token_ids, skip_special_tokens=True)


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
    the `SamplingParams.n` sequences.
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
    ):
        self.request_id, self.new_token_ids, self.text, self.finished = request_id, new_token_ids, text, finished
        self.finish_reason, self.metrics, self.index = finish_reason, metrics, index
        self._ids, self._span = token_ids, (start, len(token_ids))  # the list of the request, which only grows

    @property
    def token_ids(self):
        """The whole output so far."""
        start, end = self._span
        return self._ids[start:end]

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
