"""Eight ways to serve the same requests, from naive to final, on parts that may be a learner's own.

Each `make` gets the parts, the model and the Load, and returns serve(), which returns the new tokens of each request.
What `make` does is not timed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from course_lib.batching import run_dynamic
from course_lib.decoding import SamplingParams
from course_lib.engine import Engine, EngineConfig, Request
from course_lib.engine.allocators import make_allocator
from course_lib.kvcache import KVPool, PagedCache
from course_lib.practice.lessons.l11.preempt_game import scheduler_with_preemption
from course_lib.practice.lessons.l11.step_choice import scheduler_of_choice

BLOCK_SIZE, AT_ONCE, TOKEN_BUDGET = 16, 8, 128
"""Tokens of a block; requests that run at once; tokens of a step."""

SHARED = (
    "Once upon a time, in a quiet harbour, there lived a patient otter named Juniper. Juniper liked long breakfasts "
    "best. One day in October, Juniper heard a tune and had to stop sweeping. "
)
OPENINGS = (
    "It seemed to come from the left, and when one went left, it came from the right.",
    "Behind the hedge sat Toby the nightingale and played with closed eyes.",
    '"Why do you play out here?" asked Juniper.',
    "Toby came from the Copper Hills, where babies are born humming. The ancient drum belonged to Felix the roofer.",
)


@dataclass(frozen=True)
class Load:
    """Requests that arrive together. All begin with the same text."""

    prompts: list
    new_tokens: list

    @property
    def params(self):
        return [SamplingParams(max_tokens=n, ignore_eos=True) for n in self.new_tokens]

    @property
    def blocks(self):
        """The blocks that each request needs to its end."""
        return [-(-(len(ids) + n) // BLOCK_SIZE) for ids, n in zip(self.prompts, self.new_tokens)]

    def first(self, count):
        return Load(self.prompts[:count], self.new_tokens[:count])


def make_load(tokenizer, count=16, answers=1.0):
    """The Load of `count` requests. answers: 0.5 makes each answer half as long."""
    texts = [SHARED + " ".join(OPENINGS[i % 4 :][: 1 + i % 3]) for i in range(count)]
    return Load(
        [tokenizer.encode(text) for text in texts], [int(answers * (24, 16, 40, 32)[i % 4]) for i in range(count)]
    )


@dataclass(frozen=True)
class Way:
    """One way to serve."""

    name: str
    what: str
    uses: tuple[str, ...]
    """The exercises whose parts it runs on."""
    make: Callable
    makes_tensors: bool = False
    """Whether a learner's part makes tensors without a device: torch then makes them where the model is."""


def naive(parts, model, load):
    generate = parts["01.generate"]
    return lambda: [generate(model, ids, n) for ids, n in zip(load.prompts, load.new_tokens)]


def cached(parts, model, load):
    generate, make_cache = parts["02.generate_cached"], parts["02.cache"]

    def serve():
        work = zip(load.prompts, load.new_tokens)
        return [generate(model, ids, n, make_cache(model.config, len(ids) + n)) for ids, n in work]

    return serve


class OneTable:
    """A cache for one sequence: its table says into which blocks of the PagedCache the next tokens go."""

    def __init__(self, cache, table):
        self.cache, self.table = cache, table

    @property
    def num_tokens(self):
        return self.table.num_tokens

    def attend(self, layer, q, k, v):
        if layer == 0:
            self.table.append_slots(len(k))
            self.cache.begin_step([self.table], [len(k)])
        return self.cache.attend(layer, q, k, v)


def paged(parts, model, load):
    generate, make_table = parts["02.generate_cached"], parts["04.block_table"]
    cache = paged_cache(parts, model, max(load.blocks))

    def serve():
        outputs = []
        for ids, n in zip(load.prompts, load.new_tokens):
            table = make_table(cache.allocator)
            outputs.append(generate(model, ids, n, OneTable(cache, table)))
            table.free()
        return outputs

    return serve


def paged_cache(parts, model, num_blocks):
    config = EngineConfig(block_size=BLOCK_SIZE, prefix_caching=False)
    allocator = make_allocator(parts["04.allocator"], num_blocks, config, None)
    return PagedCache(KVPool(model.config, num_blocks, BLOCK_SIZE, model.device, model.dtype), allocator)


def batched(parts, model, load):
    batcher = parts["09.dynamic_batcher"](AT_ONCE, 0.0)
    return lambda: run_dynamic(model, load.prompts, load.params, batcher=batcher)[0]


def continuous(parts, model, load):
    server = parts["10.continuous_loop"](model, paged_cache(parts, model, together(load)), AT_ONCE)

    def serve():
        outputs = {str(i): [] for i in range(len(load.prompts))}
        for name, ids, params in zip(outputs, load.prompts, load.params):
            server.add_request(Request(name, ids, params))
        while server.has_unfinished():
            for name, token, _ in server.step():
                outputs[name].append(token)
        return [*outputs.values()]

    return serve


def together(load):
    """Blocks that are enough for any AT_ONCE of the requests."""
    return sum(sorted(load.blocks)[-AT_ONCE:])


CONFIG = EngineConfig(
    block_size=BLOCK_SIZE, max_num_seqs=AT_ONCE, max_num_batched_tokens=TOKEN_BUDGET, prefix_caching=False
)


def engine(parts, model, load):
    config = replace(CONFIG, num_blocks=together(load), policy=parts["11.priority"])
    scheduler = scheduler_of_choice(parts["11.chunked_prefill"])
    mine = [part.value for part in parts.found if part.is_yours and part.exercise_id == "08.paged_prefill"]
    return served_by(parts, model, load, config, scheduler, attention=mine[0] if mine else None)


def preempting(parts, model, load):
    config = replace(CONFIG, num_blocks=max(max(load.blocks), together(load) // 2))
    return served_by(parts, model, load, config, scheduler_with_preemption(parts["11.preempt"]))


def served_by(parts, model, load, config, scheduler, attention=None):
    made = Engine(
        model, config, allocator=parts["04.allocator"], scheduler=scheduler, attention=attention, trace=False
    )  # fmt: skip
    return lambda: [output.token_ids for output in made.generate(load.prompts, load.params)]


def final(parts, model, load):
    config = replace(CONFIG, num_blocks=together(load), prefix_caching=True)
    made = Engine(model, config, trace=False)
    if model.device.type == "cuda":  # graphs are recorded before the clock runs; these prompts share no beginning
        made.generate([ids[::-1] for ids in load.prompts], load.params)
    return lambda: [output.token_ids for output in made.generate(load.prompts, load.params)]


def ways(*, kernels):
    """All ways in order. kernels: whether Triton compiles here; an interpreted kernel would take hours."""
    attention = ("08.paged_prefill",) if kernels else ()
    return (
        Way("naive", "computes the whole sequence for each token", ("01.generate",), naive, True),
        Way("cached", "keeps keys and values of one sequence", ("02.generate_cached", "02.cache"), cached, True),
        Way("paged", "keeps them in blocks", ("02.generate_cached", "04.allocator", "04.block_table"), paged, True),
        Way("batched", f"computes {AT_ONCE} requests at once", ("09.dynamic_batcher",), batched),
        Way(
            "continuous", "requests join and leave each step", ("10.continuous_loop", "04.allocator"), continuous, True
        ),
        Way(
            "engine",
            f"cuts prompts, {TOKEN_BUDGET} tokens a step",
            ("04.allocator", "11.chunked_prefill", "11.priority", *attention),
            engine,
        ),
        Way("preempting", "has half of the memory", ("04.allocator", "11.preempt"), preempting),
        Way("final", "course_lib's engine, shares prefixes", (), final),
    )
