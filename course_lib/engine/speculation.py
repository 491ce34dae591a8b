"""What an engine guesses ahead with: `EngineConfig(speculation=...)`. The names are vLLM's (SpeculativeConfig)."""

from dataclasses import dataclass

from course_lib.decoding.prompt_lookup import PromptLookup
from course_lib.errors import ParameterError

METHODS = ("probabilistic", "strict")


@dataclass(frozen=True)
class Speculation:
    """A guess of a few tokens, checked by the model in one step. The greedy tokens are the same as without."""

    num_speculative_tokens: int = 4
    """Tokens that are drafted for each sequence and step, at most. They count in the token budget."""
    rejection_sample_method: str = "probabilistic"
    """How a sampled token is checked. "probabilistic": accepted as often as possible; the tokens have the same
    distribution as without speculation, and are others. "strict": accepted where it is the token that is chosen without
    speculation, so that the tokens are the same, and fewer are accepted."""

    def __post_init__(self):
        self._check_count("num_speculative_tokens", 1)
        if self.rejection_sample_method not in METHODS:
            raise ParameterError(
                f"rejection_sample_method is {self.rejection_sample_method!r}; it can be "
                f"{' or '.join(map(repr, METHODS))}."
            )

    @property
    def is_strict(self):
        """Whether a sampled token is accepted only where it is the one that is chosen without speculation."""
        return self.rejection_sample_method == "strict"

    is_behind = False
    """Whether what drafts has a cache of its own, in which the last drafted token is missing after its step."""

    def draft(self, request, most):
        """At most `most` drafted token ids that may follow the tokens of a request; -1 stands for one that is drafted
        in the step itself.
        """
        return [-1] * min(most, self.num_speculative_tokens)

    def _check_count(self, name, least):
        value = getattr(self, name)
        if type(value) is not int or value < least:
            raise ParameterError(
                f"{name} is {value!r}, but it counts tokens, so it must be a whole number of at least {least}. Try 4."
            )


@dataclass(frozen=True)
class NGram(Speculation):
    """Drafts from the sequence itself: what followed the same tokens before (prompt lookup)."""

    prompt_lookup_max: int = 4
    """So many of the newest tokens are looked for first."""
    prompt_lookup_min: int = 2
    """And so few at last."""

    def __post_init__(self):
        super().__post_init__()
        self._check_count("prompt_lookup_min", 1)
        self._check_count("prompt_lookup_max", self.prompt_lookup_min)

    def draft(self, request, most):
        """As Speculation.draft. Where the tokens of the request stood is kept with it."""
        lookup = getattr(request, "lookup", None)
        if lookup is None:
            lookup = request.lookup = PromptLookup(self.prompt_lookup_max, self.prompt_lookup_min)
        lookup.extend(request.token_ids[len(lookup.token_ids) :])
        return lookup.propose(min(most, self.num_speculative_tokens))


@dataclass(frozen=True)
class DraftModel(Speculation):
    """Drafts from a smaller model of the same vocabulary."""

    model: object = None
    """A Transformer, on the device of the engine's model."""
    is_behind = True

    def __post_init__(self):
        super().__post_init__()
        if not callable(self.model) or not hasattr(self.model, "config"):
            raise ParameterError(
                f"model is {self.model!r}, but a draft needs a model: DraftModel(model=load_model('tale-draft')[0])."
            )

    def check_fits(self, model):
        """Raises ParameterError where its tokens would mean something else to `model`, or where it cannot follow."""
        mine, its = self.model.config, model.config
        if mine.vocab_size != its.vocab_size:
            raise ParameterError(
                f"The draft model has {mine.vocab_size} tokens and the model {its.vocab_size}: they have different "
                f"vocabularies, so a drafted id would be another word. Take a smaller model of the same family."
            )
        if mine.context < its.context:
            raise ParameterError(
                f"The draft model's context is {mine.context} tokens and the model's is {its.context}, so the draft "
                f"could not follow long sequences. Take a draft model with at least the same context."
            )
        if self.model.device != model.device:
            raise ParameterError(
                f"The draft model is on {self.model.device} and the model on {model.device}. Load both on one device."
            )


def speculation_of(given):
    """What EngineConfig's `speculation` says: a Speculation, or None. Raises ParameterError."""
    if given is None or type(given) in (NGram, DraftModel):
        return given
    if given == "ngram":
        return NGram()
    raise ParameterError(
        f'speculation is {given!r}; it can be None, "ngram", NGram(...) or DraftModel(model=...), both from '
        f"course_lib.engine."
    )
