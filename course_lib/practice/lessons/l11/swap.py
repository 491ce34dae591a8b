"""Cases of 11.swap: keys and values leave for CPU memory before anything is written, and come back before anything is read."""

import torch

from course_lib.practice.judge.exercise import Counterexample, Exercise, NotVerified, Property, Trial
from course_lib.practice.judge.programs import told
from course_lib.practice.judge.scripts import Arrival, Script, script_trial

from .solutions.swap import SwapSpace
from .swap_answers import BlockByBlock, TokenByToken
from .swap_engine import engine_with_swap, serve_swapped
from .swap_game import Swapping, played
from .swap_mistakes import MISTAKES


def tells_the_same_tales(answer):
    """Four requests of the bundled model in a memory for less than two write what each writes alone."""
    from course_lib.decoding import SamplingParams, generate_naive
    from course_lib.engine import EngineConfig
    from course_lib.errors import CourseError

    try:
        from course_lib.models import load_model

        model, tokenizer = load_model("tale", device="cpu", dtype=torch.float32)
    except (CourseError, ImportError, OSError) as error:
        raise NotVerified(f"the bundled model could not be loaded ({error})") from error
    prompts = [
        tokenizer.encode(f"Once upon a time, in a quiet harbour, there lived {who}")
        for who in ("a patient otter", "an old owl", "two badgers", "a fox")
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
        ["# four tales at once in a memory of 14 blocks, where two fit; your SwapSpace in the engine:"],
        act,
        show=lambda texts: "\n".join(map(tokenizer.decode, texts)),
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
    return f"{sum(map(len, expected))} tokens alike, {swaps[-1]} swapped out"


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
    """(name, step, prompt, max_tokens) of requests that are alike."""
    return [(name, apart * at, prompt, max_tokens) for at, name in enumerate("abcdefgh"[:number])]


SWAP = Exercise(
    id="11.swap",
    title="Away to CPU memory, and back",
    name="SwapSpace",
    cases="programs",
    properties=[
        Property(
            "Where nothing is swapped, `run` calls `compute()` once and returns what it returns",
            "That is most steps, and the engine needs the tokens that the model chose.",
            [one(("write", "a", n)) for n in (1, 2, 3)] + [one(("write", "a", 2), ("more", "a", 3))],
        ),
        Property(
            "What makes room is kept before anything is written, and is back before anything is read",
            "Its blocks belong to others from this step on: `compute()` writes into them.",
            [
                day(*alike(2, 3, 4), num_blocks=4, block_size=2),
                day(*alike(3, 2, 5), num_blocks=5, block_size=2),
                day(*alike(3, 2, 5, apart=1), num_blocks=4, block_size=2),
                day(*alike(4, 4, 6), num_blocks=6, block_size=3),
                day(*alike(2, 5, 6), num_blocks=12, block_size=1),
                day(("a", 0, 2, 8), ("b", 1, 5, 2), ("c", 2, 1, 9), num_blocks=6, block_size=2),
            ],
        ),
        Property(
            "All its computed tokens come back, keys and values, in every layer, to the slots that it has now",
            "Its new blocks are other ones, in another order.",
            [one(("write", "a", n), ("out", "a"), ("back", "a", 0)) for n in (1, 2, 3, 5, 7)]
            + [
                one(("write", "a", n), ("write", "b", 1), ("out", "a"), ("write", "c", 1), ("back", "a", 0))
                for n in (2, 3, 4)
            ]
            + [one(("write", "a", n), ("instead", "b", "a", 2), ("back", "a", 0), num_blocks=5) for n in (3, 4, 5)]
            + [
                one(
                    ("write", "a", 3), ("write", "b", 2), ("out", "a"), ("out", "b"), ("back", "b", 0), ("back", "a", 0)
                )
            ]
            + [one(("write", "a", 3), ("out", "a"), ("back", "a", 0), ("more", "a", 2), ("out", "a"), ("back", "a", 0))]
            + [
                one(
                    ("write", "a", n),
                    ("write", "b", n),
                    ("out", "a"),
                    ("out", "b"),
                    ("write", "c", n + 1),
                    ("out", "c"),
                    ("back", "c", 0),
                    block_size=size,
                )
                for n, size in ((2, 2), (1, 1), (3, 3), (2, 1))
            ],
        ),
        Property(
            "In a step in which one goes and another comes back, what goes is kept first",
            "The one that comes may get the very blocks that the other one leaves.",
            [
                one(
                    ("write", "a", n),
                    ("instead", "b", "a", m),
                    ("turn", "b", "a"),
                    ("turn", "a", "b"),
                    num_blocks=k,
                    block_size=size,
                )
                for n, m, k, size in ((2, 2, 1, 2), (3, 4, 2, 2), (4, 3, 3, 2), (3, 3, 1, 4))
            ]
            + [one(("write", "a", 3), ("instead", "b", "a", 4), ("turn", "b", "a"), num_blocks=2)]
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
            "Where its first `start` tokens are in memory already, the rest of it goes to the slots",
            "The cache still had its first blocks. What was saved begins with token 0, the slots with token `start`.",
            [
                one(("write", "a", n), ("out", "a"), ("back", "a", found), num_blocks=6, block_size=size)
                for n, found, size in ((3, 1, 2), (4, 1, 2), (4, 2, 2), (5, 2, 2), (5, 3, 1), (7, 1, 4))
            ]
            + [
                day(*alike(2, 4, 7), num_blocks=7, block_size=2, prefix_caching=True),
                day(*alike(3, 4, 5), num_blocks=8, block_size=2, prefix_caching=True),
            ],
        ),
        Property(
            "In any program all of this holds, and `saved` keeps exactly those who are away",
            "What nobody will ask for again stays in CPU memory for ever.",
            played(SwapSpace, 50, 3),
        ),
        Property(
            "Four requests of the bundled model in a memory for two write what each writes alone",
            "Your SwapSpace, in the engine.",
            run=tells_the_same_tales,
            slow=True,
        ),
    ],
    mistakes=MISTAKES,
    hints=[
        "The order first. `compute()` reads what is computed and writes what is new. So all that goes is kept before it, and "
        "all that comes back is written before it; and since the one may get the blocks of the other, those who go are first.",
        "`swap_out`: `k[:, block_ids]` has shape [num_layers, blocks, block_size, num_kv_heads, head_dim], and is a copy. "
        "`.flatten(1, 2)` makes a row of tokens of blocks and offsets; the first `request.num_computed_tokens` of them count.",
        "`swap_in`: `k.flatten(1, 2)[:, slots] = …` writes to slots, since flatten gives the same memory in another shape. "
        "From what was saved, take `len(slots)` tokens from number `start` on. The same with v.",
        "`run`: `for request, block_ids in step.swapped_out:`, then `for request, start, slots in step.swapped_in:`, then "
        "`return compute()`. And `swap_in` takes the entry out of `self.saved` with `pop`.",
    ],
    rights=[SwapSpace, TokenByToken, BlockByBlock],
    why="Copying is cheap where computing again is dear: a long text comes back in the time that its bytes take from memory to "
    "memory. The price is an order that must never be broken: out, in, compute. vLLM's first version had both ways (arXiv "
    "2309.06180, section 4.5), as `EngineConfig.preemption` has here; today's computes again what made room (its guide "
    '"Optimization and Tuning").',
)
