"""Text that grows token by token, and ends at a stop string.

A token may hold a part of a character only, and how it reads can depend on the one before. So each time a few tokens are
decoded together, and what is new in that is taken once it is whole.
"""

CONTEXT = 4  # tokens before the text that are decoded with it, since some tokenizers drop a space at the beginning
PART = "\N{REPLACEMENT CHARACTER}"


class Text:
    """The text of a request as it is written. prompt: the token ids before it. stop: strings that end it."""

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
        """The same beginning for another text."""
        other = Text(self._tokenizer, (), self._stop)
        other._tail, other._read, other._text = self._tail[:], self._read, self._text
        return other

    def _decode(self, token_ids):
        # The backend passes over ids that no token has; a model may have more rows than its tokenizer has tokens.
        return self._tokenizer.backend.decode(token_ids, skip_special_tokens=True)
