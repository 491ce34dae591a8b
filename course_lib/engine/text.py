"""Text that grows token by token, and is at every moment a beginning of what all tokens decode to in one piece.

A token may hold a part of a character. What a part becomes depends on the tokens after it, so it waits until they
have come. How long depends on the vocabulary:

    byte-level       E6 97 | A5 41 | E6          a character waits for its last byte: at most 3 bytes wait
    byte-fallback    ▁x <0xE6> <0x97> <0xA5> ▁y  the bytes between two pieces are read together. If they are not valid
    (SentencePiece)                              UTF-8, each of them becomes U+FFFD, also where some were a character.
                                                 A run of bytes waits until a piece follows, or until no byte can make
                                                 it valid any more
    any other        a b c                       a token is text as soon as it is there

Only a few tokens are decoded for each new one, so its cost does not grow with the text.
"""

import codecs
import re
from copy import copy

from course_lib.models.tokenizer import BYTE_OF

PART = "\N{REPLACEMENT CHARACTER}"
BYTE_PIECE = re.compile("<0x[0-9A-Fa-f]{2}>")
MOST_CONTEXT = 16  # tokens; one is nearly always enough


class Text:
    """The text of the tokens after a prompt.

    tokenizer: a Tokenizer. prompt: the token ids before the text. A character that the end of the prompt cuts belongs
    to the text. What the prompt decodes to otherwise does not: whole characters, and each U+FFFD that stays one.
    """

    def __init__(self, tokenizer, prompt=()):
        reader = ByteText if tokenizer.decoder_parts == ("ByteLevel",) else PieceText
        self._reader, self.settled = reader(tokenizer, prompt), ""

    def append(self, token_id):
        """One token more. Returns what it adds to `settled`, the text that no later token changes."""
        added = self._reader.append(token_id)
        self.settled += added
        return added

    @property
    def held(self):
        """Whole characters after `settled`, if these were the last tokens; later ones can still make them U+FFFD."""
        return self._reader.held

    def so_far(self, *, finished=False):
        """`settled`; finished: with what still waits, because no token follows."""
        return self.settled + self._reader.rest() if finished else self.settled

    def fork(self):
        """The same beginning for another sequence."""
        other = copy(self)
        other._reader = self._reader.fork()
        return other


class ByteText:
    """For byte-level vocabularies: each token is bytes, and the text is what all bytes are in UTF-8."""

    held = ""

    def __init__(self, tokenizer, prompt):
        self._tokenizer, data = tokenizer, b""
        for token_id in reversed(prompt):
            data = self._bytes_of(token_id) + data
            if len(data) >= 4:  # no character is longer, so what is before cannot be a part of the last one
                break
        self._pending = data[codecs.utf_8_decode(data, "replace", False)[1] :]
        self._of_prompt = self._pending.decode(errors="replace")  # what the text of the prompt has for these bytes

    def append(self, token_id):
        """As Text.append."""
        data = self._pending + self._bytes_of(token_id)
        text, num_read = codecs.utf_8_decode(data, "replace", False)
        self._pending = data[num_read:]
        if self._of_prompt and text:
            text, self._of_prompt = text.removeprefix(self._of_prompt), ""
        return text

    def rest(self):
        """What the bytes that wait become if no more follow."""
        return self._pending.decode(errors="replace").removeprefix(self._of_prompt)

    def fork(self):
        """As Text.fork."""
        return copy(self)

    def _bytes_of(self, token_id):
        piece = piece_of(self._tokenizer, token_id)
        if piece is None:
            return b""
        try:
            return bytes(map(BYTE_OF.__getitem__, piece))
        except KeyError:  # an added token with characters that stand for no byte
            return piece.encode()


class PieceText:
    """For all other vocabularies, by the decoder of `tokenizers`.

        decoded together    | context | run of byte tokens | piece |

    context: tokens before, whose text is taken off again. Some decoders treat the beginning of a text in their own
    way, such as dropping a space there.
    """

    def __init__(self, tokenizer, prompt):
        self._tokenizer, parts = tokenizer, tokenizer.decoder_parts
        self._falls_back, self._has_parts = "ByteFallback" in parts, "ByteLevel" in parts
        before, run = self._end_of(prompt)
        self._take_context(before)
        self._begin_run()
        for token_id in run:
            self._append_byte(token_id)
        if run and not self._is_broken:
            self._text_of_prompt = self._after_context(run[: len(run) - self._num_partial])
        self._num_of_prompt, self.held = len(run), ""

    def append(self, token_id):
        """As Text.append."""
        if piece_of(self._tokenizer, token_id) is None:
            return ""
        if self._is_byte(token_id):
            return self._append_byte(token_id)
        new = [token_id] if self._is_broken else [*self._run, token_id]
        text = self._after_context(new)
        if self._has_parts and text.endswith(PART) and len(new) < MOST_CONTEXT:
            self._run = new  # perhaps a part of a character
            return ""
        text = text if self._is_broken else self._without_prompt(text)
        self._take_context(self._context + new)
        self._begin_run()
        return text

    def rest(self):
        """What the tokens that wait become if no more follow."""
        return "" if self._is_broken or not self._run else self._without_prompt(self._after_context(self._run))

    def fork(self):
        """As Text.fork."""
        other = copy(self)
        other._run, other._utf_8 = self._run[:], codecs.getincrementaldecoder("utf-8")()
        other._utf_8.setstate(self._utf_8.getstate())
        return other

    def _begin_run(self):
        self._run, self._utf_8, self.held = [], codecs.getincrementaldecoder("utf-8")(), ""
        self._num_partial = 0  # tokens at the end of the run that are no whole character yet
        self._is_broken = False  # whether the run cannot become valid UTF-8 any more: each byte of it is a U+FFFD
        self._num_of_prompt, self._text_of_prompt = 0, ""

    def _append_byte(self, token_id):
        self._run.append(token_id)
        if self._is_broken:
            return PART
        byte = int(piece_of(self._tokenizer, token_id)[3:5], 16)
        try:
            whole = self._utf_8.decode(bytes([byte]))
        except UnicodeDecodeError:
            self._is_broken, self.held = True, ""
            if not self._context_text:  # the run is the beginning of the text
                self._take_context([next(i for i in self._run if self._decode([i]) == PART)])
            return PART * (len(self._run) - self._num_of_prompt)
        self._num_partial = 0 if whole else self._num_partial + 1
        self.held += whole
        return ""

    def _without_prompt(self, text):
        """The text of the run, and of what follows it, without the part that the prompt's own text has."""
        if self._num_partial:  # the run ended within a character
            return text.removeprefix(PART * self._num_of_prompt)
        return text.removeprefix(self._text_of_prompt)

    def _after_context(self, token_ids):
        return self._decode(self._context + token_ids)[len(self._context_text) :]

    def _take_context(self, token_ids):
        """As few of the last tokens as decode to some text: then the beginning of the text is behind us."""
        for count in range(1, 1 + min(len(token_ids), MOST_CONTEXT)):
            self._context = token_ids[-count:]
            self._context_text = self._decode(self._context)
            if self._context_text:
                return
        self._context, self._context_text = token_ids, self._decode(token_ids)

    def _end_of(self, prompt):
        """(pieces, run): the run of bytes that ends the prompt, and some pieces before it."""
        pieces, run = [], []
        for token_id in reversed(prompt):
            if piece_of(self._tokenizer, token_id) is None:
                continue
            if self._is_byte(token_id) and not pieces:
                run.append(token_id)
            else:
                pieces.append(token_id)
                if len(pieces) == MOST_CONTEXT:
                    break
        return pieces[::-1], run[::-1]

    def _is_byte(self, token_id):
        piece = piece_of(self._tokenizer, token_id)
        return self._falls_back and BYTE_PIECE.fullmatch(piece) is not None

    def _decode(self, token_ids):
        return self._tokenizer.backend.decode(token_ids, skip_special_tokens=True)


def piece_of(tokenizer, token_id):
    """The token as the vocabulary has it; None for one that is not text: a special token, or an id of no token.

    A model may have more rows than its tokenizer has tokens; the decoder of `tokenizers` passes over them too.
    """
    return None if token_id in tokenizer.skipped_ids else tokenizer.backend.id_to_token(token_id)
