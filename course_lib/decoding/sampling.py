"""From one row of logits to one token."""

import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real

import torch
import torch.nn.functional as F

from course_lib.errors import ParameterError

MOST_LOGPROBS = 20


@dataclass(frozen=True)
class SamplingParams:
    """How tokens are chosen, and when to stop. The names are vLLM's."""

    temperature: float = 0.0
    """0 takes the likeliest token always (greedy); 1 samples as the model says; above 1 is wilder."""
    top_k: int | None = None
    """Only the k likeliest tokens may be drawn. None: all."""
    top_p: float = 1.0
    """Only the fewest likeliest tokens that reach this probability together may be drawn. 1: all."""
    min_p: float = 0.0
    """Only tokens at least this many times as likely as the likeliest may be drawn. 0: all."""
    max_tokens: int = 128
    """Stop after so many new tokens."""
    stop_token_ids: tuple[int, ...] = ()
    """Stop after any of these, besides the model's own end token."""
    ignore_eos: bool = False
    """Go on past the model's end token (to measure a fixed length)."""
    seed: int | None = None
    """The same seed, prompt and parameters give the same tokens. None: different every time, in every run of a program;
    only an engine with `EngineConfig.seed` gives those requests seeds that repeat."""
    n: int = 1
    """So many sequences for one prompt, which share its memory. Only in an engine; sequence i draws with seed + i."""
    stop: tuple[str, ...] = ()
    """Stop as soon as the text holds any of these; it is cut where that begins. Only in an engine with a tokenizer."""
    presence_penalty: float = 0.0
    """Taken from the logit of each token that the output holds already: from -2 to 2, as in OpenAI's API."""
    frequency_penalty: float = 0.0
    """Taken from the logit of a token once for each time that the output holds it: from -2 to 2."""
    repetition_penalty: float = 1.0
    """Divides the logit of each token that prompt or output holds, or multiplies a negative one: above 0."""
    logit_bias: Mapping = ()
    """{token id: number from -100 to 100} that is added to the logits of these tokens. Kept as pairs."""
    logprobs: int | None = None
    """With each token comes its log probability and those of so many likeliest tokens, before temperature and
    penalties: 0 to 20. None: none. Only in an engine."""

    def __post_init__(self):
        """Checks every field, and makes plain numbers of NumPy's."""
        t = self._take(
            "temperature",
            _number,
            "it divides the logits, so it must be a finite number of at least 0",
            "0 for greedy, or about 0.8 for lively text",
        )
        if t < 0:
            _refuse(
                "temperature", t, "a negative one would prefer the unlikeliest tokens", "0 for greedy, or about 0.8"
            )
        if self.top_k is not None:
            instead = "None for all tokens (vLLM's -1 and 0), or 1 and more"
            if self._take("top_k", _count, "it counts the tokens that may be drawn", instead) < 1:
                _refuse("top_k", self.top_k, "at least one token must stay to be drawn", instead)
            if self.top_k >= 2**31:
                _refuse("top_k", self.top_k, "kernels take it as an int32, and no vocabulary is that large", instead)
        p = self._take("top_p", _number, "it is a share of probability", "1.0 for all tokens, or 0.9")
        if not 0 < p <= 1:
            _refuse("top_p", p, "it is a share of probability, above 0 and at most 1", "1.0 for all tokens, or 0.9")
        low = self._take("min_p", _number, "it is a share of the largest probability", "0.0 for all tokens, or 0.05")
        if not 0 <= low <= 1:
            _refuse(
                "min_p", low, "it is a share of the largest probability, from 0 to 1", "0.0 for all tokens, or 0.05"
            )
        if self._take("max_tokens", _count, "it counts new tokens", "a whole number such as 128") < 0:
            _refuse("max_tokens", self.max_tokens, "it counts new tokens", "a whole number such as 128")
        if self.seed is not None:
            why = "it starts a generator of random numbers and has at most 63 bits"
            if not 0 <= self._take("seed", _count, why, "None, or a whole number such as 0") < 2**63:
                _refuse("seed", self.seed, why, "None, or a whole number such as 0")
        if not isinstance(self.ignore_eos, bool):
            _refuse("ignore_eos", self.ignore_eos, "it is a yes or a no", "True or False")
        self._take_stop_token_ids()
        if self._take("n", _count, "it counts sequences", "1, or another whole number") < 1:
            _refuse("n", self.n, "it counts sequences", "1, or another whole number")
        stop = (self.stop,) if isinstance(self.stop, str) else self.stop
        are_strings = isinstance(stop, (tuple, list)) and all(isinstance(one, str) and one for one in stop)
        if not are_strings:
            _refuse("stop", self.stop, "it holds any number of strings of at least one character", '(".", "The end")')
        object.__setattr__(self, "stop", tuple(stop))
        self._take_penalties()
        if self.logprobs is not None:
            instead = f"None, or a whole number from 0 to {MOST_LOGPROBS}"
            if not 0 <= self._take("logprobs", _count, "it counts the likeliest tokens", instead) <= MOST_LOGPROBS:
                _refuse("logprobs", self.logprobs, "it counts the likeliest tokens that come with each token", instead)

    @property
    def has_penalties(self):
        """Whether the choice of a token depends on the tokens before it, or on a logit_bias."""
        return bool(self.presence_penalty or self.frequency_penalty or self.repetition_penalty != 1 or self.logit_bias)

    def _take_penalties(self):
        for name in ("presence_penalty", "frequency_penalty"):
            why, instead = "it is taken from logits: a number from -2 to 2", "0 for none, or 0.5"
            if not -2 <= self._take(name, _number, why, instead) <= 2:
                _refuse(name, getattr(self, name), why, instead)
        why, instead = "it divides logits: a number above 0", "1.0 for none, or 1.1"
        if not self._take("repetition_penalty", _number, why, instead) > 0:
            _refuse("repetition_penalty", self.repetition_penalty, why, instead)
        given, instead = self.logit_bias, "a dictionary such as {523: -100}"
        try:
            pairs = tuple((_count(i), _number(x)) for i, x in (given.items() if isinstance(given, Mapping) else given))
        except (TypeError, ValueError):
            pairs = ((None, None),)
        if any(i is None or i < 0 or x is None or abs(x) > 100 for i, x in pairs):
            _refuse("logit_bias", given, "it gives token ids a number from -100 to 100", instead)
        object.__setattr__(self, "logit_bias", pairs)

    def _take(self, name, convert, why, instead):
        value = getattr(self, name)
        plain = convert(value)
        if plain is None:
            _refuse(name, value, why, instead)
        object.__setattr__(self, name, plain)
        return plain

    def _take_stop_token_ids(self):
        given, instead = self.stop_token_ids, "token ids in brackets, such as (tokenizer.eos_token_id,)"
        if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
            _refuse("stop_token_ids", given, "it holds any number of token ids", instead)
        ids = tuple(given)
        for i in ids:
            if _count(i) is None or i < 0:
                _refuse("stop_token_ids", ids, f"{i!r} is not a token id", instead)
        object.__setattr__(self, "stop_token_ids", tuple(map(_count, ids)))


def _count(x):
    """x as an int, or None if it is no whole number."""
    try:
        return None if isinstance(x, bool) else operator.index(x)
    except TypeError:
        return None


def distribution(logits, params):
    """The probabilities that the next token is drawn from.

    logits: [vocab_size] or [rows, vocab_size], any float dtype. Returns float32 of the same shape;
    every row sums to 1, and a token that was cut has exactly 0. In this order, as in vLLM:
    temperature, min-p, top-k, top-p. Equal logits at the edge of top-k go by the lower id, so that
    exactly k stay. The token that crosses top_p stays. temperature 0 puts 1 on the likeliest
    token, the lowest id among equals.
    """
    logits = logits.float()
    if params.temperature == 0:
        return torch.zeros_like(logits).scatter_(-1, first_largest(logits)[..., None], 1.0)
    # Subtracting the largest first keeps a tiny temperature from overflowing, and one that is too
    # small for float32 would be 0 there: 0 / 0.
    temperature = max(params.temperature, torch.finfo(torch.float32).tiny)
    scaled = (logits - logits.max(-1, keepdim=True).values) / temperature
    ordered, order = scaled.sort(dim=-1, descending=True, stable=True)
    if params.min_p > 0:
        ordered = ordered.masked_fill(ordered < math.log(params.min_p), -math.inf)
    if params.top_k is not None:
        ordered[..., params.top_k :] = -math.inf
    probs = ordered.softmax(-1)
    if params.top_p < 1:
        # A sum of what stands before, not cumsum - probs: that could round to below a top_p it has reached.
        reached_before = F.pad(probs.cumsum(-1)[..., :-1], (1, 0))
        probs = probs.masked_fill(reached_before >= params.top_p, 0.0)
        probs = probs / probs.sum(-1, keepdim=True)
    return torch.zeros_like(probs).scatter_(-1, order, probs)


def sample(logits, params, generator=None):
    """Draws the next token id, or one for each row, as lesson 01 builds it: one generator, one draw after the other.

    The decoding loops and the engine draw by `choosing.choose` instead, whose numbers do not depend on who drew before.

    logits: [vocab_size] -> int, or [rows, vocab_size] -> int64 [rows].
    generator: the torch.Generator to draw from. Without one, a fresh one seeded by params.seed, so
    that the same call draws the same; without a seed either, it draws something else every time. Raises ParameterError
    for logits of another shape, and on a CPU for a row that holds NaN or infinity or allows nothing.
    """
    _check_logits(logits)
    if generator is None and params.temperature > 0:
        generator = seeded_generator(params, logits.device)
    if params.temperature == 0:
        ids = first_largest(logits)
    else:
        ids = torch.multinomial(distribution(logits, params), 1, generator=generator)[..., 0]
    return int(ids) if ids.ndim == 0 else ids


def _check_logits(logits):
    if not isinstance(logits, torch.Tensor) or logits.ndim not in (1, 2) or logits.shape[-1] == 0:
        shape = list(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ParameterError(
            f"logits is {shape}, but sample() takes a tensor [vocab_size] or [rows, vocab_size]. "
            f"Pass the model's last row: logits[-1]."
        )
    # A GPU would have to stop and answer; there torch's own error has to do.
    if logits.device.type == "cpu" and not logits.max(-1).values.isfinite().all():
        raise ParameterError(
            "A row of logits holds NaN or infinity, or nothing but -infinity, so no token can be chosen "
            "by it. Look for what made it: weights in float16 that overflow, or a mask over everything."
        )


def first_largest(logits):
    """argmax that is the lowest id among equals, on every device."""
    return (logits == logits.max(-1, keepdim=True).values).to(torch.uint8).argmax(-1)


def seeded_generator(params, device):
    """The generator that belongs to these parameters: seeded if they name a seed."""
    generator = torch.Generator(device=device)
    if params.seed is None:
        generator.seed()
    else:
        generator.manual_seed(params.seed)
    return generator


def _number(x):
    """x as a float or int, or None if it is no finite number."""
    try:
        if isinstance(x, bool) or not isinstance(x, Real) or not math.isfinite(x):
            return None
    except OverflowError:  # an int above every float
        return None
    return x if isinstance(x, (int, float)) else float(x)


def _refuse(name, value, why, instead):
    raise ParameterError(f"{name} is {value!r}, but {why}. Try {instead}.")
