"""The log probabilities of an answer in the two shapes of the OpenAI API.

/v1/completions       {"tokens": [" a", ...], "token_logprobs": [-0.3, ...], "text_offset": [0, ...],
                       "top_logprobs": [{" a": -0.3, " the": -1.9}, ...]}
/v1/chat/completions  {"content": [{"token": " a", "logprob": -0.3, "bytes": [32, 97], "top_logprobs": [...]}, ...]}
"""

LEAST = -9999.0  # what the API says in the place of -infinity, which JSON does not have


class TokenNames:
    """The text and the bytes of each token, worked out once."""

    def __init__(self, tokenizer):
        self._tokenizer, self._known = tokenizer, {}

    def of(self, token_id):
        """(text, list of its bytes). A part of a character is "bytes:\\xe2\\x80", as OpenAI writes it."""
        if token_id not in self._known:
            data = b"" if token_id >= self._tokenizer.vocab_size else self._tokenizer.token_bytes(token_id)
            try:
                text = data.decode()
            except UnicodeDecodeError:
                text = "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)
            self._known[token_id] = text, list(data)
        return self._known[token_id]


def of_completion(names, token_ids, logprobs, offset):
    """The `logprobs` of a choice of /v1/completions.

    names: a TokenNames. token_ids, logprobs: the tokens, and {token id: Logprob} of each. offset: characters of the
    tokens before.
    """
    tokens = [names.of(token_id)[0] for token_id in token_ids]
    offsets = [offset]
    for token in tokens:
        offsets.append(offsets[-1] + len(token))
    return {
        "tokens": tokens,
        "token_logprobs": [finite(its[token_id]) for token_id, its in zip(token_ids, logprobs)],
        "top_logprobs": [{names.of(i)[0]: finite(one) for i, one in its.items()} for its in logprobs],
        "text_offset": offsets[:-1],
    }


def of_chat(names, token_ids, logprobs, number):
    """The `logprobs` of a choice of /v1/chat/completions. number: of the likeliest tokens that were asked for."""
    content = []
    for token_id, its in zip(token_ids, logprobs):
        likeliest = sorted((one.rank, i) for i, one in its.items())[:number]
        top = [_entry(names, i, its[i]) for _, i in likeliest]
        content.append(_entry(names, token_id, its[token_id]) | {"top_logprobs": top})
    return {"content": content, "refusal": None}


def _entry(names, token_id, logprob):
    text, data = names.of(token_id)
    return {"token": text, "logprob": finite(logprob), "bytes": data}


def finite(logprob):
    """The number of a Logprob for JSON."""
    return max(logprob.logprob, LEAST)
