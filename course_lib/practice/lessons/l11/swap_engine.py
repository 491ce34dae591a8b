"""For 11.swap: a scheduler without a model, and an engine, in which a learner's SwapSpace swaps requests out and in."""

from dataclasses import replace

import torch

from course_lib.engine import Engine, Scheduler
from course_lib.engine.runner import Runner
from course_lib.practice.judge.replay import replay

from .swap_memory import SwapStep

# --- in a scheduler, without a model ---


def scheduler_over(space, num_blocks, block_size, garbled):
    """A class of schedulers whose steps a SwapSpace carries out on tensors.

    garbled: is filled with {(step, request): (how many of its tokens are wrong, bool [keys or values, layer]: where)}.
    """

    class Carried(Scheduler):
        def __init__(self, config, manager, *, trace=None):
            super().__init__(config, manager, trace=trace)
            self.k, self.v = (torch.zeros(2, num_blocks, block_size, 1, 1) for _ in "kv")
            self.space = space(self.k, self.v)

        def schedule(self):
            step = super().schedule()
            request_of = {**self._swapped, **self.running}.get
            self.space.run(SwapStep.of(step, request_of), lambda: self._compute(step))
            return step

        def _compute(self, step):
            for sequence in step.scheduled:
                request, known, n = self.running[sequence.request_id], sequence.start, sequence.num_tokens
                ids, blocks = request.token_ids[: known + n], self.manager.table(request).block_ids
                at = torch.tensor([blocks[p // block_size] * block_size + p % block_size for p in range(known + n)])
                keys = torch.tensor([64 * token + p + 1 for p, token in enumerate(ids)], dtype=torch.float32)
                right = [sign * (keys + 0.25 * layer) for sign in (1, -1) for layer in (0, 1)]
                kept = [part[layer].flatten() for part in (self.k, self.v) for layer in (0, 1)]
                wrong = torch.stack([have[at[:known]] != want[:known] for have, want in zip(kept, right)])
                if wrong.any():
                    garbled[self.trace.step, request.request_id] = int(wrong.any(0).sum()), wrong.any(1).view(2, 2)
                for have, want in zip(kept, right):
                    have[at[known:]] = want[known:]

    return Carried


def serve_swapped(space, arrivals, *, num_blocks, block_size, **config):
    """The Timeline of a script in a scheduler that preempts by swapping, without a model.

    A cell "!3" is a request that reads wrong keys or values for 3 of its tokens; "%3" is one that does in some layers.
    """
    garbled = {}
    made = scheduler_over(space, num_blocks, block_size, garbled)
    line = replay(made, arrivals, num_blocks=num_blocks, block_size=block_size, preemption="swap", **config)
    for (step, name), (n, where) in sorted(garbled.items(), reverse=True):
        letter = "!" if where.any(0).all() else "%"
        line.columns[step][0][name] = f"{letter}{n}"
        line.numbers[letter] = (
            f"reads wrong {places(where)} for {{n}} tokens"  # the last one set is that of the first step
        )
    return line


def places(where):
    """where: bool [keys or values, layer], not all False. In words: "values in layer 1"."""
    kinds = " and ".join(kind for kind, some in zip(("keys", "values"), where.any(1)) if some)
    layers = [str(layer) for layer, some in enumerate(where.any(0)) if some]
    return kinds if len(layers) == where.shape[1] else f"{kinds} in layer {', '.join(layers)}"


# --- in the engine ---


class SwapRunner(Runner):
    """The engine's Runner, in which a SwapSpace does the swapping."""

    def __init__(self, space, engine):
        super().__init__(engine.model, engine.cache, engine.config)
        self.engine = engine
        self.space = space(engine.pool.k, engine.pool.v)

    saved = property(
        lambda self: self.space.saved, lambda self, value: None
    )  # the engine removes aborted requests from it

    @torch.inference_mode()
    def run(self, step):
        """As Runner.run."""
        moved, rest = SwapStep.of(step, self.engine.request), replace(step, swapped_out=[], swapped_in=[])
        return self.space.run(moved, lambda: Runner.run(self, rest))


def engine_with_swap(space, model, config, **more):
    """Engine(model, config) in which a learner's SwapSpace swaps requests out and in."""
    engine = Engine(model, config, **more)
    engine.runner = SwapRunner(space, engine)
    return engine
