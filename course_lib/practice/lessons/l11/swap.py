"""The exercise 11.swap: keys and values are saved in CPU memory before a step writes, and restored before it reads."""

import torch

from course_lib.practice.judge.exercise import Counterexample, Exercise, NotVerified, Property, Trial
from course_lib.practice.judge.programs import told
from course_lib.practice.judge.scripts import Arrival, Script, script_trial

from .solutions.swap import SwapSpace
from .swap_answers import BlockByBlock, TokenByToken
from .swap_engine import engine_with_swap, serve_swapped
from .swap_game import Swapping, played
from .swap_mistakes import MISTAKES


def gives_the_same_tokens(answer):
    """Four requests of the bundled model, in a memory for two, get the tokens that each would get alone."""
    from course_lib.decoding import SamplingParams, generate_naive
    from course_lib.engine import EngineConfig
    from course_lib.errors import CourseError

    try:
        from course_lib.models import load_model

        model, tokenizer = load_model("tale", device="cpu", dtype=torch.float32)
    except (CourseError, ImportError, OSError) as error:
        raise NotVerified(f"the bundled model could not be loaded ({error})") from error
    prompts = [
        tokenizer.encode(f"Once upon a time, in a quiet harbour, there lived {hero}")
        for hero in ("a patient otter", "an old owl", "two badgers", "a fox")
    ]
    params = SamplingParams(max_tokens=10, ignore_eos=True)
    expected = [generate_naive(model, ids, params) for ids in prompts]
    swaps = []

    def act(answer):
        config = EngineConfig(block_size=4, num_blocks=14, preemption="swap", prefix_caching=False, watermark=0.0)
        engine = engine_with_swap(answer, model, config)
        outputs = engine.generate(prompts, params)
        swaps.append(engine.metrics.num_swapped_tokens)
        return [output.token_ids for output in outputs]

    trial = Trial(
        ["# four requests at once in a memory of 14 blocks, where two fit; your SwapSpace in the engine:"],
        act,
        show=lambda outputs: "\n".join(map(tokenizer.decode, outputs)),
        limit_s=60.0,
    )
    got, printed = trial.outcome(answer)
    if got != expected:
        raise Counterexample(
            trial.story,
            trial.show(expected),
            trial.show(got) if isinstance(got, list) else str(got),
            "the same as generate_naive",
            printed=printed,
            outcome=got,
        )
    return f"{sum(map(len, expected))} equal tokens, {swaps[-1]} tokens swapped out"


def one(*steps, num_blocks=4, block_size=2):
    return told(Swapping, {"num_blocks": num_blocks, "block_size": block_size}, *steps)


def day(*arrivals, **setup):
    least = {"num_blocks": max(-(-(prompt + more) // setup["block_size"]) for _, _, prompt, more, *_ in arrivals)}
    return script_trial(
        lambda answer, script: serve_swapped(answer, script.arrivals, **script.setup),
        Script(
            tuple(
                Arrival(name, step, prompt, max_tokens, priority=priority[0] if priority else 0)
                for name, step, prompt, max_tokens, *priority in arrivals
            ),
            setup,
        ),
        "serve_swapped({answer}, {arrivals}, {setup})",
        "SwapSpace",
        imports="from course_lib.practice.play import Arrival, serve_swapped",
        least=least,
    )


def alike(number, prompt, max_tokens, apart=0):
    """(name, step, prompt, max_tokens) of requests of the same kind."""
    return [(name, apart * at, prompt, max_tokens) for at, name in enumerate("abcdefgh"[:number])]


SWAP = Exercise(
    id="11.swap",
    title="To CPU memory and back",
    name="SwapSpace",
    cases="programs",
    properties=[
        Property(
            "Where nothing is swapped, `run` calls `compute()` once and returns its result",
            "Most steps are like this, and the engine needs the tokens that the model chose.",
            [one(("write", "a", n)) for n in (1, 2, 3)] + [one(("write", "a", 2), ("append", "a", 3))],
        ),
        Property(
            "Preempted tokens are saved before anything is written, and are back before anything is read",
            "The blocks of a preempted request belong to others from this step on: `compute()` writes into them.",
            [
                day(*alike(2, 3, 4), num_blocks=4, block_size=2),
                day(*alike(3, 2, 5), num_blocks=5, block_size=2),
                day(*alike(3, 2, 5, apart=1), num_blocks=4, block_size=2),
                day(*alike(4, 4, 6), num_blocks=6, block_size=3),
                day(*alike(2, 5, 6), num_blocks=12, block_size=1),
                day(("a", 0, 2, 8), ("b", 1, 5, 2), ("c", 2, 1, 9), num_blocks=6, block_size=2),
                day(*((f"user{n}", 0, 2, 5) for n in (1, 2, 3)), num_blocks=5, block_size=2),
            ],
        ),
        Property(
            "All computed tokens come back, keys and values, in every layer, to the new slots of the request",
            "Its new blocks are other blocks, in another order.",
            [one(("write", "a", n), ("swap_out", "a"), ("swap_in", "a", 0)) for n in (1, 2, 3, 5, 7)]
            + [
                one(("write", "a", n), ("write", "b", 1), ("swap_out", "a"), ("write", "c", 1), ("swap_in", "a", 0))
                for n in (2, 3, 4)
            ]
            + [one(("write", "a", n), ("replace", "b", "a", 2), ("swap_in", "a", 0), num_blocks=5) for n in (3, 4, 5)]
            + [
                one(
                    ("write", "a", 3),
                    ("write", "b", 2),
                    ("swap_out", "a"),
                    ("swap_out", "b"),
                    ("swap_in", "b", 0),
                    ("swap_in", "a", 0),
                )
            ]
            + [
                one(
                    ("write", "a", 3),
                    ("swap_out", "a"),
                    ("swap_in", "a", 0),
                    ("append", "a", 2),
                    ("swap_out", "a"),
                    ("swap_in", "a", 0),
                )
            ]
            + [
                one(
                    ("write", "a", n),
                    ("write", "b", n),
                    ("swap_out", "a"),
                    ("swap_out", "b"),
                    ("write", "c", n + 1),
                    ("swap_out", "c"),
                    ("swap_in", "c", 0),
                    block_size=size,
                )
                for n, size in ((2, 2), (1, 1), (3, 3), (2, 1))
            ],
        ),
        Property(
            "Several requests may be swapped out, or in, in one step; the step's lists stay as they are",
            "The scheduler still needs its step: the trace and the metrics are made from it.",
            [
                one(
                    ("write", "a", n),
                    ("write", "b", m),
                    ("swap_out_both", "a", "b"),
                    ("write", "c", 2),
                    ("swap_in_both", "b", "a"),
                    num_blocks=5,
                )
                for n, m in ((2, 2), (3, 1), (1, 4))
            ]
            + [one(("write", "a", 1), ("write", "b", 1), ("swap_out_both", "b", "a"))],
        ),
        Property(
            "Where one request is swapped out and another swapped in, the first is saved first",
            "The request that is swapped in may get the same blocks that the other one held.",
            [
                one(
                    ("write", "a", n),
                    ("replace", "b", "a", m),
                    ("exchange", "b", "a"),
                    ("exchange", "a", "b"),
                    num_blocks=k,
                    block_size=size,
                )
                for n, m, k, size in ((2, 2, 1, 2), (3, 4, 2, 2), (4, 3, 3, 2), (3, 3, 1, 4))
            ]
            + [one(("write", "a", 3), ("replace", "b", "a", 4), ("exchange", "b", "a"), num_blocks=2)]
            + [
                day(
                    ("a", 0, 2, 9, 2),
                    ("b", 1, 2, 3, 1),
                    ("c", 3, 2, 2, 0),
                    ("d", 6, 3, 3, 1),
                    num_blocks=6,
                    block_size=2,
                    max_num_seqs=1,
                    policy="priority",
                )
            ],
        ),
        Property(
            "Where the first `start` tokens are in memory already, only the rest goes to the slots",
            "The cache still held the first blocks. The saved tokens begin with token 0, the slots with token `start`.",
            [
                one(("write", "a", n), ("swap_out", "a"), ("swap_in", "a", found), num_blocks=6, block_size=size)
                for n, found, size in ((3, 1, 2), (4, 1, 2), (4, 2, 2), (5, 2, 2), (5, 3, 1), (7, 1, 4))
            ]
            + [
                day(*alike(2, 4, 7), num_blocks=7, block_size=2, prefix_caching=True),
                day(*alike(3, 4, 5), num_blocks=8, block_size=2, prefix_caching=True),
            ],
        ),
        Property(
            "In random programs all of this holds, and `saved` has exactly the requests that are swapped out",
            "An entry that is never read again would stay in CPU memory for ever.",
            played(SwapSpace, 50, 3),
        ),
        Property(
            "Four requests of the bundled model, in a memory for two, get the tokens that each would get alone",
            "Your SwapSpace, in the engine.",
            run=gives_the_same_tokens,
            slow=True,
        ),
    ],
    mistakes=MISTAKES,
    hints=[
        "First the order. `compute()` reads computed tokens and writes new ones. So all swapped-out tokens are "
        "saved before it, and all swapped-in tokens are written before it. A request that is swapped in may get "
        "the blocks of one that is swapped out, so swapping out comes first.",
        "`swap_out`: `k[:, block_ids]` has the shape [num_layers, blocks, block_size, num_kv_heads, head_dim], "
        "and is a copy. `.flatten(1, 2)` joins blocks and offsets into one dimension of tokens; the first "
        "`request.num_computed_tokens` of them are needed.",
        "`swap_in`: `k.flatten(1, 2)[:, slots] = …` writes to the slots, since flatten returns the same memory in "
        "another shape. Of the saved tokens, take `len(slots)` from number `start` on. Do the same with v.",
        "`run`: `for request, block_ids in step.swapped_out:`, then `for request, start, slots in "
        "step.swapped_in:`, then `return compute()`. `swap_in` removes the entry from `self.saved` with `pop`.",
    ],
    rights=[SwapSpace, TokenByToken, BlockByBlock],
    why="Copying is cheap where computing again is expensive: a long sequence comes back in the time that its bytes "
    "take from memory to memory. The price is an order that must always be kept: swap out, swap in, compute. "
    "vLLM's first version had both ways (arXiv 2309.06180, section 4.5), as `EngineConfig.preemption` has here; "
    'today\'s version computes preempted requests again (its guide "Optimization and Tuning").',
)
