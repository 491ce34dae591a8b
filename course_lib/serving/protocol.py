"""From the body of a request to prompts and SamplingParams, or to an APIError that names the field.

The fields are those of OpenAI's /v1/completions and /v1/chat/completions, and of vLLM's additions `top_k`, `min_p`,
`stop_token_ids`, `ignore_eos`, `priority`, `return_token_ids`. A field that neither API has is refused, as OpenAI does.
"""

import json
import math
from dataclasses import dataclass, replace

from course_lib.decoding.sampling import SamplingParams
from course_lib.errors import ParameterError

from .errors import APIError, refuse

SAMPLING = ("temperature", "top_p", "top_k", "min_p", "seed", "n", "stop", "stop_token_ids", "ignore_eos",
            "presence_penalty", "frequency_penalty", "repetition_penalty")  # fmt: skip
OURS = {"model", "max_tokens", "stream", "stream_options", "priority", "return_token_ids", "logit_bias", "logprobs",
        *SAMPLING}  # fmt: skip
# They say who asks and why, and change nothing.
LABELS = {"user": str, "metadata": dict, "safety_identifier": str, "prompt_cache_key": str}
FIELDS = {
    "completions": OURS | LABELS.keys() | {"prompt"},
    "chat": OURS | LABELS.keys() | {"messages", "max_completion_tokens", "chat_template_kwargs", "top_logprobs"},
}
# Known fields that this server does not compute, and the values with which they ask for nothing, as null does.
NOTHING_ASKED = {
    "echo": [False], "suffix": [""], "best_of": [1], "prompt_logprobs": [False], "top_logprobs": [0],
    "response_format": [{"type": "text"}], "tools": [[]], "tool_choice": ["none", "auto"],
    "min_tokens": [0], "skip_special_tokens": [True], "store": [False], "functions": [[]],
    "parallel_tool_calls": [True, False], "service_tier": ["auto", "default"], "add_generation_prompt": [True],
}  # fmt: skip
MOST_STOPS, MOST_LOGPROBS, MOST_TOP_LOGPROBS = 4, 5, 20
USAGE = {"include_usage", "continuous_usage_stats"}  # fields of stream_options
LONGEST_STOP = 1000  # characters: to look for a longer one takes the engine's time, and others would wait
# Arguments of apply_chat_template. A template from a client could run for ever, in the event loop.
NO_VARIABLES = {"messages", "chat_template", "tokenize", "tools", "add_generation_prompt", "continue_final_message",
                "self", "source", "template"}  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """What one request may ask of this server's engine. context: tokens of prompt and output together."""

    context: int
    num_sequences: int
    vocab_size: int


@dataclass(frozen=True)
class Asked:
    """What a body asks for. prompts: a list of token ids each."""

    prompts: list
    params: SamplingParams
    stream: bool = False
    include_usage: bool = False
    continuous_usage: bool = False
    return_token_ids: bool = False
    priority: int | float = 0


def read_json(body):
    """The JSON object of a body in bytes: UTF-8."""
    try:
        text = body.decode("utf-8-sig")
        found = json.loads(text, parse_constant=_no_number)
        if "\\u" in text:
            json.dumps(found, ensure_ascii=False).encode()  # half of a surrogate pair is no text: it raises ValueError
    except (ValueError, RecursionError) as error:
        raise APIError(400, f"The body of the request is no JSON: {error}. Send an object in braces.") from None
    if not isinstance(found, dict):
        raise APIError(400, f"The body of the request is {shown(found)}, but it is a JSON object in braces.")
    return found


def _no_number(name):
    raise ValueError(f"{name} is no number in JSON")


def read_request(body, kind, model_name, tokenizer, limits):
    """The Asked of a body. kind: "completions" or "chat". limits: the Limits of the engine."""
    context = limits.context
    for name, value in body.items():
        if name in FIELDS[kind]:
            if value is not None and not isinstance(value, LABELS.get(name, object)):
                refuse(name, f"{name} is {shown(value)}, but it is {'an object' if name == 'metadata' else 'a text'}.")
            continue
        if name not in NOTHING_ASKED:
            refuse(name, f"Unrecognized request argument supplied: {name}")
        if value is not None and not any(_is_same(value, nothing) for nothing in NOTHING_ASKED[name]):
            refuse(name, f"{name} is {shown(value)}, and this server does not compute {name}. Leave it out.")
    check_model(body.get("model"), model_name)
    prompts = _chat_prompt(body, tokenizer) if kind == "chat" else _prompts(body, tokenizer)
    _check_ids("prompt", (i for prompt in prompts for i in prompt), limits)
    longest = max(map(len, prompts))
    if longest >= context:
        refuse(
            "messages" if kind == "chat" else "prompt",
            f"The prompt has {longest} tokens, and this model's context is {context} with the answer. Shorten it.",
            code="context_length_exceeded",
        )
    params = read_params(body, kind, default_max_tokens=16 if kind == "completions" else context - longest)
    if longest + params.max_tokens > context:
        name = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
        refuse(
            name,
            f"{longest} tokens of the prompt and {name}={params.max_tokens} are more than this model's context of "
            f"{context}. Lower {name} to {context - longest}, or shorten the prompt.",
            code="context_length_exceeded",
        )
    if params.n > limits.num_sequences:
        refuse("n", f"n is {params.n}, and this server computes {limits.num_sequences} at a time at most. Lower n.")
    _check_ids("logit_bias", (i for i, _ in params.logit_bias), limits)
    stream = _yes_or_no(body, "stream")
    return Asked(
        prompts, params, stream, *_usage_wanted(body, stream), _yes_or_no(body, "return_token_ids"), _priority(body)
    )


def _check_ids(name, token_ids, limits):
    for i in token_ids:
        if not 0 <= i < limits.vocab_size:
            refuse(
                name, f"{name} holds the token id {i}, and this model has the token ids 0 to {limits.vocab_size - 1}."
            )


def _is_same(value, other):
    """Whether they are the same in JSON, where 0 is not false."""
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def check_model(name, model_name):
    """Raises APIError for a name that is not that of the model here."""
    if not isinstance(name, str) or not name:
        refuse("model", f"model is {shown(name)}, but it names the model: {model_name!r}.")
    if name != model_name:
        raise APIError(
            404, f"The model {name!r} does not exist here; this server has {model_name!r}.", param="model",
            code="model_not_found",
        )  # fmt: skip


def read_params(body, kind, *, default_max_tokens):
    """The SamplingParams of a body. kind: as of read_request. Defaults are OpenAI's: temperature 1."""
    given = {name: body[name] for name in SAMPLING if body.get(name) is not None}
    if type(given.get("top_k")) is int and given["top_k"] in (0, -1):  # vLLM's "all tokens"
        del given["top_k"]
    stop = given.get("stop", [])
    if isinstance(stop, list) and len(stop) > MOST_STOPS:
        refuse("stop", f"stop holds {len(stop)} strings, and the API takes {MOST_STOPS} at most.")
    for one in [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []:
        if isinstance(one, str) and len(one) > LONGEST_STOP:
            refuse("stop", f"stop holds {len(one)} characters, and {LONGEST_STOP} are the most. Give a shorter string.")
    given |= {"logit_bias": _logit_bias(body), "logprobs": _logprobs(body, kind)}
    max_tokens = body.get("max_completion_tokens")
    max_tokens = body.get("max_tokens") if max_tokens is None else max_tokens
    if max_tokens is not None and (type(max_tokens) is not int or max_tokens < 1):
        refuse("max_tokens", f"max_tokens is {shown(max_tokens)}, but it counts tokens: 1 or more.")
    params = SamplingParams(temperature=1.0, max_tokens=default_max_tokens if max_tokens is None else max_tokens)
    for name, value in given.items():  # one by one, so that an error names its field
        try:
            params = replace(params, **{name: value})
        except ParameterError as error:
            refuse(name, str(error))
    return params


def _logit_bias(body):
    """{token id: bias} of an object, whose names are text in JSON."""
    given = body.get("logit_bias")
    given = {} if given is None else given
    if not isinstance(given, dict) or not all(name.isascii() and name.isdigit() and len(name) < 19 for name in given):
        refuse(
            "logit_bias", f'logit_bias is {shown(given)}, but it is an object of token ids, such as {{"523": -100}}.'
        )
    return {int(name): bias for name, bias in given.items()}


def _logprobs(body, kind):
    """How many of the likeliest tokens are told with each token; None: not even its own log probability."""
    name, most = ("logprobs", MOST_LOGPROBS) if kind == "completions" else ("top_logprobs", MOST_TOP_LOGPROBS)
    value, is_asked = body.get(name), True
    if kind == "chat":
        is_asked = _yes_or_no(body, "logprobs")
        if value and not is_asked:
            refuse(name, "top_logprobs goes with logprobs=true only. Leave it out, or add that.")
        value = (value or 0) if is_asked and not isinstance(value, bool) else value
    if value is None or value is False or not is_asked:
        return None
    if type(value) is not int or not 0 <= value <= most:
        refuse(name, f"{name} is {shown(value)}, but it counts the likeliest tokens: a whole number from 0 to {most}.")
    return value


def _prompts(body, tokenizer):
    """A prompt is a text, a list of token ids, or a list of one of these."""
    prompt = body.get("prompt")
    if isinstance(prompt, str) or _are_ids(prompt):
        prompt = [prompt]
    fits = isinstance(prompt, list) and prompt and all(isinstance(one, str) or _are_ids(one) for one in prompt)
    if not fits:
        refuse("prompt", f"prompt is {shown(prompt)}, but it is a text, a list of token ids, or a list of these.")
    found = [tokenizer.encode(one) if isinstance(one, str) else one for one in prompt]
    if not all(found):
        refuse("prompt", "A prompt holds no token, so there is nothing to go on from. Write at least one character.")
    return found


def _are_ids(prompt):
    return isinstance(prompt, list) and bool(prompt) and all(type(one) is int for one in prompt)


def _chat_prompt(body, tokenizer):
    messages, variables = body.get("messages"), body.get("chat_template_kwargs") or {}
    is_list = isinstance(messages, list) and messages and all(isinstance(one, dict) for one in messages)
    if not is_list:
        refuse("messages", f"messages is {shown(messages)}, but it is a list of objects with role and content.")
    if not isinstance(variables, dict):
        refuse("chat_template_kwargs", f"chat_template_kwargs is {shown(variables)}, but it is an object.")
    if ours := sorted(NO_VARIABLES & variables.keys()):
        refuse("chat_template_kwargs", f"chat_template_kwargs holds {ours[0]}, and the server sets that. Leave it out.")
    messages = [_with_text(message) for message in messages]
    try:
        return [tokenizer.apply_chat_template(messages, add_generation_prompt=True, **variables)]
    except (ParameterError, TypeError) as error:
        refuse("messages", str(error))


def _with_text(message):
    """The message with its content as one text: a list of text parts is joined by line ends, as vLLM does."""
    if not isinstance(message.get("role"), str):
        refuse("messages", f'A message is {shown(message)}, but it says who speaks by "role", such as "user".')
    content = message.get("content")
    if isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        content = [part.get("text") for part in content]
        if all(isinstance(text, str) for text in content):
            return message | {"content": "\n".join(content)}
    if content is not None and not isinstance(content, str):
        refuse("messages", f"The content of a message is {shown(content)}, but this server reads text alone.")
    return message


def _yes_or_no(body, name, within=None):
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        refuse(within or name, f"{name} is {shown(value)}, but it is true or false.")
    return bool(value)


def _usage_wanted(body, stream):
    """Whether a stream ends with its usage, and whether each chunk has it too, which is vLLM's addition."""
    options = body.get("stream_options")
    if options is None:
        return False, False
    if not stream:
        refuse("stream_options", "stream_options goes with stream=true only. Leave it out, or stream.")
    if not isinstance(options, dict) or options.keys() - USAGE:
        refuse("stream_options", f'stream_options is {shown(options)}, but it is {{"include_usage": true}}.')
    at_the_end, in_each = (_yes_or_no(options, name, "stream_options") for name in sorted(USAGE, reverse=True))
    return at_the_end, at_the_end and in_each


def _priority(body):
    value = body.get("priority")
    value = 0 if value is None else value
    if type(value) not in (int, float) or not abs(value) < math.inf:
        refuse("priority", f"priority is {shown(value)}, but it is a number: a lower one goes first.")
    return value


def shown(value, most=60):
    """A value of a body in an error: as JSON, and not too long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[: most - 1]}…"
