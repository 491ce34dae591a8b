"""How an engine is set up: sizes, rules, and what each of them is for."""

from dataclasses import dataclass

from course_lib.errors import ParameterError
from course_lib.kvcache.prefix import POLICIES as EVICTIONS
from course_lib.kvcache.sizes import KV_DTYPES, QUANTISED

from .policies import POLICIES, Policy
from .speculation import Speculation, speculation_of

PREEMPTIONS = ("recompute", "swap")
K_SCALES = ("token", "channel")


@dataclass(frozen=True)
class EngineConfig:
    """The names are vLLM's. Every bad value is refused with the reason."""

    block_size: int = 16
    """Tokens a block. Smaller wastes less at the end of each request, and makes more blocks to look after."""
    num_blocks: int | None = None
    """Blocks in memory, all taken when the engine is made. None: enough for `max_num_seqs` sequences of full length.
    On a GPU that is at most what `gpu_memory_utilization` allows; on a CPU at most as many bytes as the weights have
    (512 MiB where they have fewer), and at most a quarter of the free memory. `engine.pool.num_bytes` says how many."""
    max_num_seqs: int = 64
    """Requests that may run at the same time; with `SamplingParams.n`, each of the n sequences counts."""
    max_num_batched_tokens: int = 2048
    """Tokens that may be computed in one step, over all requests: the token budget."""
    policy: str | type = "fcfs"
    """Who goes first: "fcfs" (first come, first served), "priority" (a lower value first, then who came first),
    "fair" (equal
    service to every client), or a class of your own made from `course_lib.engine.Policy`."""
    preemption: str = "recompute"
    """What happens to the cache of a request that must make room: "recompute" throws it away, "swap" keeps it in CPU
    memory.
    """
    chunked_prefill: bool = True
    """Whether a prompt may be computed in pieces, as the budget allows. Without, it waits until it fits in one step."""
    prefix_caching: bool = True
    """Whether full, computed blocks are found again by requests that begin with the same tokens."""
    eviction: str = "lru"
    """Which cached block nobody holds goes first: "lru" the longest idle, "priority" the least important."""
    kv_dtype: str = "auto"
    """How keys and values are kept: "auto" (as the model computes them), "float32", "bfloat16", "float16", or
    quantised: "int8", "fp8" (e4m3) or "int4", with a scale for each token and head. vLLM: `kv_cache_dtype`."""
    k_scales: str = "token"
    """With a quantised kv_dtype, how keys are scaled: "token" (one scale for each token and head) or "channel" (each
    channel is first divided by its size in a sample, so that large channels do not decide the scale of the others)."""
    window: int | None = None
    """A token sees only itself and the window - 1 tokens before it, in every layer, and the first `sinks`. Blocks that
    no token sees any more are free. None: all tokens before it, or what the model's own layers say."""
    sinks: int = 0
    """With a window: so many tokens at the beginning are seen by all (StreamingLLM)."""
    watermark: float = 0.01
    """Share of the blocks that stays free when a request is admitted, so that the running ones can grow."""
    async_scheduling: bool | None = None
    """Whether the next step is scheduled while this one runs. The outputs of a step then come one call of `step()`
    later, and
    stop tokens are noticed one step late and cut. None: on a GPU, unless a trace is recorded. The tokens are the
    same."""
    speculation: str | Speculation | None = None
    """Tokens are guessed ahead and checked together: None, "ngram" (what followed the same tokens before), or
    NGram(...) or DraftModel(model=...) from course_lib.engine with its settings. The greedy tokens are the same."""
    tensor_parallel: int = 1
    """Processes over which the model is shared out, each with a GPU of its own where there are GPUs: a divisor of the
    number of query heads. With fewer KV heads than processes, several processes hold the same KV head, so the KV cache
    of each is larger than its share. vLLM: `tensor_parallel_size`."""
    enforce_eager: bool = False
    """On a GPU: True runs the model as it is, without CUDA graphs and fused kernels."""
    gpu_memory_utilization: float = 0.9
    """Share of the GPU's memory that the engine may use, weights included; it decides num_blocks where that is None."""
    seed: int | None = None
    """Starts the random numbers of requests that name no seed of their own: the same seed and the same requests in the
    same order give the same tokens. None: different every time, as everywhere without a seed."""

    def __post_init__(self):
        for name, what in (
            ("block_size", "tokens"),
            ("max_num_seqs", "requests"),
            ("max_num_batched_tokens", "tokens"),
            ("tensor_parallel", "processes"),
        ):
            self._check_count(name, what)
        if self.num_blocks is not None:
            self._check_count("num_blocks", "blocks")
        if self.kv_dtype not in KV_DTYPES:
            raise ParameterError(f"kv_dtype is {self.kv_dtype!r}; it can be {one_of(KV_DTYPES)}.")
        if self.k_scales not in K_SCALES:
            raise ParameterError(f"k_scales is {self.k_scales!r}; it can be {one_of(K_SCALES)}.")
        if self.k_scales == "channel" and self.kv_dtype not in QUANTISED:
            raise ParameterError(
                f'k_scales="channel" came with kv_dtype={self.kv_dtype!r}, which has no scales. Take '
                f"{one_of(QUANTISED)}, or leave k_scales out."
            )
        if self.window is not None:
            self._check_count("window", "tokens")
        if type(self.sinks) is not int or self.sinks < 0 or (self.sinks and self.window is None):
            raise ParameterError(
                f"sinks is {self.sinks!r} and window {self.window!r}; sinks counts the first tokens, which "
                f"are seen beside those of the window: 0 or more, and more than 0 only with a window."
            )
        own_policy = isinstance(self.policy, type) and issubclass(self.policy, Policy)
        if not own_policy and not (isinstance(self.policy, str) and self.policy in POLICIES):
            raise ParameterError(
                f"policy is {self.policy!r}; it can be {one_of(POLICIES)}, or a class of your own made from "
                f"course_lib.engine.Policy (the class, not an object: each engine makes its own)."
            )
        for name, choices in (("preemption", PREEMPTIONS), ("eviction", EVICTIONS)):
            if getattr(self, name) not in choices:
                raise ParameterError(f"{name} is {getattr(self, name)!r}; it can be {one_of(choices)}.")
        for name in ("chunked_prefill", "prefix_caching", "enforce_eager", "async_scheduling"):
            if not isinstance(getattr(self, name), bool) and not (
                name == "async_scheduling" and self.async_scheduling is None
            ):
                raise ParameterError(f"{name} is {getattr(self, name)!r}, but it is a yes or a no. Pass True or False.")
        object.__setattr__(self, "speculation", speculation_of(self.speculation))
        if self.speculation is not None and self.async_scheduling:
            raise ParameterError(
                "async_scheduling=True schedules a step before it is known how many drafted tokens of the step before "
                "are accepted. Leave it out with speculation."
            )
        if self.speculation is not None and self.tensor_parallel > 1:
            raise ParameterError(
                "speculation came with tensor_parallel above 1, and drafts are made and checked in one process only. "
                "Leave one of the two out."
            )
        w = self.watermark
        if isinstance(w, bool) or not isinstance(w, (int, float)) or not 0 <= w < 1:
            raise ParameterError(f"watermark is {w!r}, but it is a share of the blocks, from 0 to below 1. Try 0.01.")
        share = self.gpu_memory_utilization
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share <= 1:
            raise ParameterError(
                f"gpu_memory_utilization is {share!r}, a share of the GPU's memory: above 0, at most 1. Try 0.9."
            )
        if self.seed is not None and (type(self.seed) is not int or not 0 <= self.seed < 2**32):
            raise ParameterError(
                f"seed is {self.seed!r}, but it starts random numbers: a whole number below 2**32, or None for other "
                f"numbers every time. Try 0."
            )

    def _check_count(self, name, what):
        value = getattr(self, name)
        if type(value) is not int or value < 1:
            nearest = max(1, round(value)) if isinstance(value, float) and abs(value) < 1e9 else 1
            raise ParameterError(
                f"{name} is {value!r}, but it counts {what}, so it must be a whole number of at least 1. "
                f"The nearest that works is {nearest}."
            )


def one_of(choices):
    return " or ".join(map(repr, choices))
