"""From outputs of the engine to what the API answers: one object, or a stream of server-sent events.

data: {"id": "cmpl-1", "choices": [{"index": 0, "text": " harbour", "finish_reason": null}], ...}
data: {"id": "cmpl-1", "choices": [{"index": 0, "text": ".", "finish_reason": "stop"}], ...}
data: {"id": "cmpl-1", "choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 2, ...}}
data: [DONE]
"""

import json
import time
import uuid

from .logprobs import of_chat, of_completion

DONE = b"data: [DONE]\n\n"
_text_of = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # json.dumps would make one at each call


def event(data):
    """One server-sent event: bytes."""
    return b"data: " + _text_of(data).encode() + b"\n\n"


class Answer:
    """The answer to one request as it grows. is_chat: messages instead of text.

    A choice is one sequence: those of the first prompt come first, then those of the second. names: TokenNames, for
    logprobs.
    """

    def __init__(self, asked, model_name, *, is_chat, names=None):
        self.asked, self.is_chat, self._names = asked, is_chat, names
        name = "chat.completion" if is_chat else "text_completion"
        self._head = {
            "id": f"{'chatcmpl' if is_chat else 'cmpl'}-{uuid.uuid4().hex}", "object": name,
            "created": int(time.time()), "model": model_name,
        }  # fmt: skip
        self._newest = {}  # index of the choice -> its newest RequestOutput
        self._sent = {}  # index of the choice -> characters of its text that were sent
        self._told = {}  # index of the choice -> (tokens whose logprobs were sent, their characters)
        # A chunk is `_before`, its choice, `_after`: only the choice is made anew for each token.
        self._before, self._after = _text_of(self._head_of_chunk() | {"choices": []}).encode()[:-2], b"]}\n\n"
        if asked.include_usage and not asked.continuous_usage:
            self._after = b'],"usage":null}\n\n'

    def take(self, number, output):
        """An output of prompt `number`. Returns the index of its choice."""
        index = number * self.asked.params.n + output.index
        self._newest[index] = output
        return index

    # --- a stream ---

    def first_events(self):
        """What a stream begins with: in a chat, who speaks."""
        if not self.is_chat:
            return b""
        delta = {"role": "assistant", "content": ""}
        return b"".join(
            self._chunk(index, {"delta": delta}, None) for index in range(len(self.asked.prompts) * self.asked.params.n)
        )

    def next_event(self, number, output):
        """The event of an output: what its text has more than before. b"" where that is nothing."""
        index = self.take(number, output)
        text = output.text[self._sent.get(index, 0) :]
        self._sent[index] = len(output.text)
        more = {"token_ids": output.new_token_ids} if self.asked.return_token_ids else {}
        if not text and not output.finished and not more:
            return b""
        what = {"delta": {"content": text} if text else {}} if self.is_chat else {"text": text}
        logprobs = None if output.logprobs is None else self._logprobs_of(index, output)
        return self._chunk(index, what | more, output.finish_reason, logprobs)

    def last_events(self):
        """What a stream ends with."""
        if not self.asked.include_usage:
            return DONE
        return event(self._head_of_chunk() | {"choices": [], "usage": self.usage()}) + DONE

    def _chunk(self, index, what, finish_reason, logprobs=None):
        choice = _text_of({"index": index, **what, "logprobs": logprobs, "finish_reason": finish_reason}).encode()
        after = self._after
        if self.asked.continuous_usage:
            after = b'],"usage":' + _text_of(self.usage()).encode() + b"}\n\n"
        return b"data: " + self._before + choice + after

    def _logprobs_of(self, index, output):
        """Of the tokens of a choice that were not sent yet."""
        start, offset = self._told.get(index, (0, 0))
        token_ids, logprobs = output.token_ids[start:], output.logprobs[start:]
        if self.is_chat:
            found = of_chat(self._names, token_ids, logprobs, self.asked.params.logprobs)
        else:
            found = of_completion(self._names, token_ids, logprobs, offset)
            offset += sum(map(len, found["tokens"]))
        self._told[index] = start + len(token_ids), offset
        return found

    def _head_of_chunk(self):
        return self._head | ({"object": "chat.completion.chunk"} if self.is_chat else {})

    # --- in one piece ---

    def whole(self):
        """The answer in one object, when all choices have ended."""
        choices = [self._choice(index, output) for index, output in sorted(self._newest.items())]
        return self._head | {"choices": choices, "usage": self.usage()}

    def _choice(self, index, output):
        if self.is_chat:
            what = {"message": {"role": "assistant", "content": output.text, "refusal": None}}
        else:
            what = {"text": output.text}
        if self.asked.return_token_ids:
            what["token_ids"] = output.token_ids
        logprobs = None if output.logprobs is None else self._logprobs_of(index, output)
        return {"index": index, **what, "logprobs": logprobs, "finish_reason": output.finish_reason}

    def usage(self):
        """Counts of tokens: those of each prompt once, those of all outputs."""
        num_prompt = sum(map(len, self.asked.prompts))
        num_output = sum(len(output.token_ids) for output in self._newest.values())
        first = [output for index, output in self._newest.items() if index % self.asked.params.n == 0]
        return {
            "prompt_tokens": num_prompt, "completion_tokens": num_output, "total_tokens": num_prompt + num_output,
            "prompt_tokens_details": {"cached_tokens": sum(output.metrics.num_cached_tokens for output in first)},
        }  # fmt: skip
