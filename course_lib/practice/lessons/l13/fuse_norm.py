"""13.fuse_norm: the addition to the residual stream and the RMSNorm after it, in one pass, in torch or in Triton."""

from course_lib.practice.judge import rungs
from course_lib.practice.judge.exercise import Exercise, Property

from .fuse_norm_answers import fuse_norm, norm_row_by_row
from .fuse_norm_mistakes import MISTAKES
from .fuse_norm_trials import EPS, HALF, KEPT, MANY, ONCE, ONE, STRIDED, TAILS, UNTOUCHED, norms

FUSE_NORM = Exercise(
    id="13.fuse_norm",
    title="Addition and RMSNorm in one pass",
    name="fuse_norm",
    cases="calls",
    properties=[
        Property(
            "One row: summed is x + residual, normed is summed / √(mean of its squares + eps) · weight",
            "The next addition needs the sum, the next product its norm. So both are returned, in this order.",
            ONE,
        ),
        Property(
            "Each row has a mean of its own", "A row is one token. In a kernel, `tl.program_id(0)` is the row.", MANY
        ),
        Property(
            "A row can have any length: lanes after its end do not count",
            "The block is a power of two, the row need not be. The mean is over the numbers of the row.",
            TAILS,
        ),
        Property(
            "`eps` is added to the mean, under the root",
            "It keeps a row of small numbers from being blown up, and a row of zeros from nan.",
            EPS,
        ),
        Property(
            "x and residual may be slices of wider tensors: each has its own row stride",
            "The results are new and lie side by side.",
            STRIDED,
        ),
        Property(
            "Inputs and results may be float16; squares and their mean are float32",
            "The square of 300 does not fit into float16, and the square of 0.001 is rounded away.",
            HALF,
        ),
        Property(
            "Of float16 inputs, too, the whole computation is in float32, and rounded once at the end",
            "A number that is rounded twice is off by up to twice as much, in every layer.",
            ONCE,
        ),
        Property(
            "x, residual and weight are not changed", "The caller decides when they may be overwritten.", UNTOUCHED
        ),
        Property("Both results are new in every call", "The caller still holds those of the call before.", KEPT),
        *rungs.rungs(norms(2, 3), norms(3, 5, half=True, spare=(2, 1))),
    ],
    mistakes=MISTAKES,
    hints=[
        "Rung 1, in torch: `summed = x.float() + residual.float()`, the mean of `summed * summed` over a row, and then "
        "`summed * torch.rsqrt(mean + eps) * weight`.",
        "As a kernel: one program a row, with `at = tl.arange(0, BLOCK)` and the mask `at < size`. x begins at x_ptr + "
        "row * x_stride, residual at residual_ptr + row * residual_stride.",
        "Load both with other=0.0 and convert them to tl.float32. Then lanes after the end add 0 to "
        "`tl.sum(total * total, 0)`, and dividing by `size` gives the mean.",
        "Store both with the same mask, at `row * size + at`: `total`, and `total * tl.rsqrt(mean + eps) * weight`, "
        "each with `.to(normed_ptr.dtype.element_ty)`.",
    ],
    rights=[
        fuse_norm,
        norm_row_by_row,
        *rungs.in_triton("l13.solutions.fuse_norm", "fuse_norm"),
        *rungs.in_triton("l13.kernel_answers", "norm_in_pieces", "norm_several_rows"),
    ],
    why="Apart, the addition reads two rows and writes one, and the norm reads that and writes another. Together each "
    "number is read once, and one launch is saved, in every layer twice. vLLM calls it `fused_add_rms_norm`; here it "
    "is `course_lib/models/kernels/norm.py`.",
    budget_s=rungs.BUDGET_S,
)
