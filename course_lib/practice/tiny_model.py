"""A model so small that its next token can be worked out by hand, with the face of the real one."""

from dataclasses import dataclass

import torch

from ..errors import CourseError
from .running import Endless


@dataclass(frozen=True)
class TinyConfig:
    """What a decoding loop may ask of `model.config`."""

    vocab_size: int
    context: int = 1_000_000
    bos_token_id: int | None = None
    eos_token_ids: tuple[int, ...] = ()


class TinyModel:
    """Takes the same arguments as the real model; its next token is easy arithmetic.

    After a sequence it wants the token: sum of id x (position + 1), modulo the vocabulary. So every
    token counts, and so does where it stands.
    """

    device = torch.device("cpu")
    dtype = torch.float32

    def __init__(self, vocab_size=5, most_calls=None):
        self.config, self.most_calls = TinyConfig(vocab_size), most_calls
        self.pushed = []
        """Number of tokens pushed in each call."""

    def __call__(self, token_ids, positions, cache, logits_for=None):
        for name, value in (("token_ids", token_ids), ("positions", positions)):
            if not isinstance(value, torch.Tensor):
                raise CourseError(f"{name} is a {type(value).__name__}; the model wants an int64 tensor. torch.tensor(…) makes one.")
            if value.ndim != 1 or value.dtype != torch.int64:
                raise CourseError(f"{name} has shape {list(value.shape)} and type {value.dtype}; the model wants int64 of shape [num_tokens].")
        if len(token_ids) != len(positions):
            raise CourseError(f"{len(token_ids)} tokens came with {len(positions)} positions; each token has one.")
        if not hasattr(cache, "attend"):
            raise CourseError("The third argument is the cache. Naive decoding keeps nothing: pass Recompute().")
        if len(token_ids) == 0:
            raise CourseError("The model was called without any token, so there is nothing to go on from.")
        self.pushed.append(len(token_ids))
        if self.most_calls is not None and len(self.pushed) > self.most_calls:
            raise Endless(f"stopped: the model was called {len(self.pushed)} times. When does the loop end?")
        wanted = (token_ids * (positions + 1)).cumsum(0) % self.config.vocab_size
        logits = torch.nn.functional.one_hot(wanted, self.config.vocab_size).float()
        return logits if logits_for is None else logits[logits_for]


class Counted:
    """A model that hands everything on to another one, and stops a loop that calls it too often."""

    def __init__(self, model, most_calls, told):
        self._model, self._most_calls, self._told, self._calls = model, most_calls, told, 0

    def __getattr__(self, name):
        return getattr(self._model, name)

    def __call__(self, *args, **kwargs):
        self._calls += 1
        if self._calls > self._most_calls:
            raise Endless(self._told)
        return self._model(*args, **kwargs)
