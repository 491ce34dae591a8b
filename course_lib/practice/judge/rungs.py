"""Three rungs of one exercise, with one set of cases: plain torch, a Triton kernel interpreted, the kernel on a GPU.

The learner hands in one function. It may compute in any way: in torch alone (rung 1), or with a kernel that it launches
(rung 2 where Triton interprets kernels, rung 3 where it compiles them). The cases are the same. On a machine with a GPU
all cases run compiled. Some run once more in a second Python that interprets the kernel
(attention/recording/second_python.py), because only the interpreter sees an access outside of a tensor. The result says
what this machine could not verify. Where Triton is absent, rung 1 is complete in itself.

    def attends(n, m):
        story = ["from course_lib.practice.play import here", ..., f"q, k, v = here(*qkv({n}, {m}))", "mine(q, k, v)"]
        return trial(story, lambda: qkv(n, m), lambda answer, q, k, v: answer(q, k, v), size=n + m)

    Exercise(...,
        properties=[..., *rungs(attends(1, 1), attends(40, 40))],  # the last two lines of every result
        rights=[obviously_right, in_tiles, *in_triton("l07.solutions.attention", "mine")],
        budget_s=BUDGET_S)

The reference (the first of `rights`) is plain torch, so that there is one without Triton too. Known mistakes are plain
torch as well: an answer has one when it gives the same result.
"""

import contextlib
import sys
import warnings
from importlib import import_module
from importlib.util import find_spec

import torch

from course_lib.attention.recording.second_python import own_error
from course_lib.errors import CourseError
from course_lib.practice.fixtures.placement import here, machine

from . import limits, running
from .agreement import near
from .compiles import raise_refusal, refused_word
from .exercise import Counterexample, Mistake, NotVerified, Property, Trial
from .kernel_launches import kernels_of, launched_by
from .program_order import in_other_orders

BUDGET_S = limits.COMPILED_CHECK_S if torch.cuda.is_available() else limits.KERNEL_CHECK_S
"""Seconds of work for all cases of a check."""
LIMIT_S = limits.COMPILED_TRIAL_S if torch.cuda.is_available() else limits.KERNEL_TRIAL_S
"""Seconds of work for one case."""


class LostGPU(CourseError):
    """A kernel reached outside of all memory. The process can use the GPU no more."""


def trial(story, make, call, *, within=None, **options):
    """A Trial for all rungs.

    make() -> fresh inputs, on the CPU. call(answer, *inputs) -> what is compared, on any device. Memory that was not
    written is nan, and in the interpreter an access outside of its tensor ends the case: see `ran`. within: how far a
    result may be off, where 1 part in 10,000 is too narrow; see agreement.Near. options: those of Trial, such as size.
    """

    def act(answer):
        inputs = here(*make())
        return near(ran(lambda: call(answer, *(inputs if isinstance(inputs, tuple) else (inputs,)))), within)

    return Trial(story, act, limit_s=LIMIT_S, **options)


def ran(act):
    """act(), its tensors brought to the CPU. What a kernel raises comes out as itself, not wrapped by the interpreter.

    For an access outside of its tensor raises what the recorder raises, with the offsets; LostGPU where a GPU found it.
    """
    try:
        with poisoned(), watched(), warnings.catch_warnings():
            # NumPy warns of nan and infinity; the outcome shows them anyway.
            warnings.simplefilter("ignore", RuntimeWarning)
            warnings.filterwarnings("ignore", message=".*determinis")  # torch warns of what `poisoned` asks for
            return on_cpu(act())
    except Exception as error:
        error = own_error(error)
        if "illegal memory access" in str(error):
            raise LostGPU(
                "a kernel reached outside of all tensors, and this process can use the GPU no more. Restart the "
                'notebook\'s kernel. With os.environ["TRITON_INTERPRET"] = "1" in its first cell, the check says '
                "which offsets are outside."
            ) from None
        raise error from None


@contextlib.contextmanager
def poisoned():
    """While it lasts, new memory (torch.empty and the like) holds nan: what was not written is not right by chance."""
    mode, fill = torch.get_deterministic_debug_mode(), torch.utils.deterministic.fill_uninitialized_memory
    torch.set_deterministic_debug_mode("warn")  # use_deterministic_algorithms imports torch's compiler, for seconds
    torch.utils.deterministic.fill_uninitialized_memory = True
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(mode)
        torch.utils.deterministic.fill_uninitialized_memory = fill


def watched():
    """The recorder that stops an access outside of its tensor; nothing where no kernel is interpreted.

    A recording that runs already stops it as well.
    """
    if "triton" not in sys.modules or machine().triton != "interpreted":
        return contextlib.nullcontext()
    from course_lib.attention.recording.recorder import record_accesses, recording

    return record_accesses() if recording() is None else contextlib.nullcontext()


def on_cpu(value):
    """The same with every tensor on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.cpu()
    if type(value) in (tuple, list):
        return type(value)(map(on_cpu, value))
    return value


def rungs(*trials, orders=()):
    """The two Properties that end every such exercise: on which rungs the answer was seen.

    trials: cases that need a kernel. orders: further ones, in which programs run in other orders too.
    """

    def interpreted(answer):
        found = machine()
        if found.triton == "absent":
            raise NotVerified(
                f"as Triton is absent: {found.triton_why}. All above was checked in plain torch, rung 1, which is "
                "complete in itself."
            )
        kernels = kernels_of(answer, trials)
        if not kernels:
            raise NotVerified(
                "as your function launched no kernel of yours. All above was checked in plain torch, rung 1. Now "
                "write the kernel, launch it from the same function, and check again."
            )
        for kernel in kernels:
            if word := refused_word(kernel):
                raise Counterexample(
                    [f"# {kernel.__name__}, compiled for a GPU"],
                    "a kernel",
                    f"unsupported: `{word}`",
                    remark=f"The interpreter is Python and takes `{word}`; Triton's compiler does not. Let the "
                    "bounds of a loop, an `if` or a mask say the same.",
                )
        for one in dict.fromkeys([*trials, *orders]):
            in_other_orders(answer, one)
        if found.triton == "interpreted":
            raise_refusal(launched_by(answer, trials))
            return (
                f"all above ran in {told(kernels)}, some with their programs in other orders, and no access was "
                "outside of its tensor. The compiler takes the kernel"
            )
        for one in trials:
            outside = stopped(answer, one)
            if outside:
                raise Counterexample(
                    one.story,
                    "no access outside of a tensor",
                    str(outside),
                    outcome=outside,
                    remark="The GPU said nothing. A second Python interpreted the kernel, and stopped it there.",
                )
        return (
            f"{told(kernels)} ran {len(trials)} of the cases above in a second Python, and no access was outside of "
            "its tensor"
        )

    def compiled(answer):
        found = machine()
        if found.triton != "compiled":
            raise NotVerified(
                "as there is no GPU." if found.gpu is None else f"as Triton is {found.triton}: {found.triton_why}."
            )
        kernels = kernels_of(answer, trials)
        if not kernels:
            raise NotVerified("as your function launched no kernel of yours.")
        return f"all above ran in {told(kernels)} on {found.gpu}"

    return [
        Property("Rung 2: a Triton kernel, interpreted", "", run=interpreted, slow=True),
        Property("Rung 3: the kernel, compiled on a GPU", "", run=compiled, slow=True),
    ]


def told(kernels):
    return " and ".join(f"`{kernel.__name__}`" for kernel in kernels)


def stopped(answer, one):
    """On a machine with a GPU: the Raised of an access outside of its tensor in one trial, or None.

    A second Python interprets the kernel. Raises NotVerified for a kernel that cannot run there.
    """
    from course_lib.attention.recording.recorder import record_accesses

    with record_accesses():
        outcome, _ = running.run(lambda: one.act(answer), answer, one.limit_s)
    if isinstance(outcome, running.Raised) and outcome.kind != "OutOfBounds":
        begin = "" if outcome.kind == "ParameterError" else "the second Python, which interprets it here, stopped with "
        raise NotVerified(f"as {begin}{outcome.message}")
    return outcome if isinstance(outcome, running.Raised) else None


def is_outside(answer, found):
    """is_made_by for a Mistake: the interpreter stopped an access outside of its tensor.

    A GPU may say nothing about such an access: there the trial is run once more, interpreted.
    """
    if getattr(found.outcome, "kind", "") == "OutOfBounds":
        return True
    return machine().triton == "compiled" and found.trial is not None and stopped(answer, found.trial) is not None


def rounded(reference, trials, wrong=None):
    """The Mistake of an answer that on a GPU is right to two or three digits only.

    It is so where the answer fails and in all of `trials`.
    """

    def is_made_by(answer, found):
        if machine().triton != "compiled" or found.trial is None:
            return False
        outcomes = ((trial.outcome(reference)[0], trial.outcome(answer)[0]) for trial in (found.trial, *trials))
        return all(_nearly(want, mine) for want, mine in outcomes)

    return Mistake(
        "products are rounded to TF32.",
        "Float32 goes into the matrix units of a GPU as TF32, with ten bits of fraction. `tl.dot` keeps all bits with "
        'input_precision="ieee". And from 16 rows on Triton takes `tl.sum(weights[:, :, None] * v[None, :, :], 1)` '
        "for a `tl.dot`: write v first, `v[None, :, :] * weights[:, :, None]`.",
        wrong,
        is_made_by,
    )


def _nearly(want, mine):
    """Whether each row of numbers is within 4 parts in 1,000 of its length, in each tensor of a tuple.

    TF32 costs about 1 part in 1,000.
    """
    if isinstance(want, tuple):
        return isinstance(mine, tuple) and len(want) == len(mine) and all(map(_nearly, want, mine))
    if not isinstance(mine, torch.Tensor) or (mine.shape, mine.dtype) != (want.shape, torch.float32):
        return False
    off, length = (torch.where(want.isfinite(), x, 0.0).norm(dim=-1) for x in (mine - want, want))
    return bool((off <= 0.004 * length + 1e-6).all())


OUTSIDE = Mistake(
    "an access outside of its tensor.",
    "Each lane of a tile has an address. Is it a lane past the end? Then `tl.load` and `tl.store` want a mask that is "
    "false there, and the load an `other`. Is the lane one that should be read? Then its address is wrong: where it "
    "starts, a stride, or what is counted.",
    is_made_by=is_outside,
)


class InTriton:
    """An answer of ours that launches kernels.

    Its module imports Triton, so it is imported when the answer is first called.
    """

    def __init__(self, module, name):
        self.module, self.__name__ = module, name

    def __call__(self, *args):
        return getattr(import_module(f"course_lib.practice.lessons.{self.module}"), self.__name__)(*args)


def in_triton(module, *names):
    """The answers `names` of a module in practice/lessons, or none where Triton is not installed."""
    return [InTriton(module, name) for name in names] if find_spec("triton") else []
