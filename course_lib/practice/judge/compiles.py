"""Whether Triton's compiler takes the kernels that an answer launched, and if not, why, in plain words.

The interpreter is Python and takes more than a compiler does. A child process compiles the kernels for a GPU that need
not be here; see attention/kernels/compiled_for.py.
"""

import ast
import inspect
import re
import textwrap
from functools import cache

from course_lib.errors import ParameterError
from course_lib.source.extract import NotAlone, with_needs

from .exercise import Counterexample

CHIP, CARD = "sm_90", "an H100"
MOST = 4
"""So many launches of an answer are compiled: about a second each."""

REFUSED = {ast.Break: "break", ast.Continue: "continue", ast.Try: "try"}
"""What the interpreter runs, because it is Python, and the compiler refuses."""

WORDS = [
    (
        r"Cannot access global variable (\w+)",
        "`{0}` is a plain number outside of the kernel. A kernel can use a constant from outside only as `{0} = "
        "tl.constexpr(…)`. Or pass it as an argument.",
    ),
    (
        r"Cannot have `return` statements inside",
        "A kernel cannot `return` from inside a loop. Let the bounds of the loop or a mask say the same.",
    ),
    (
        r"object has no attribute '?(append|extend|insert|pop)",
        "A kernel has no lists that grow. Keep what the loop needs in tensors of a fixed shape, and update them.",
    ),
    (
        r"Loop-carried variable (\w+) has initial type (.+?) but is re-assigned to (.+?) in loop",
        "`{0}` is {1} before the loop and becomes {2} in it. A variable keeps its type and shape in a loop: begin with "
        "`tl.zeros([…], tl.float32)` or `tl.full([…], …, tl.float32)` of the shape that it has in the loop.",
    ),
    (
        r"Loop carried variable (\w+) is not a triton value",
        "`{0}` is no number and no tensor before the loop, perhaps None. Begin with `tl.zeros` or `tl.full` of the "
        "shape that it has in the loop.",
    ),
    (
        r"Input shapes should have M >= \d+, N >= \d+ and K >= (\d+)",
        "`tl.dot` needs at least {0} numbers in the dimension that is summed, and a matrix here has fewer. Use larger "
        "tiles, or multiply and sum: `tl.sum(b[None, :, :] * a[:, :, None], 1)`.",
    ),
    (r"power of 2", "The number of lanes must be a power of two, for the compiler too."),
    (
        r"arguments must be of type tl.constexpr|Shape element \d+ must have type",
        "The shape of a block must be known when the kernel is compiled. Make the argument a `tl.constexpr`.",
    ),
    (
        r"unsupported tensor index",
        "A block cannot be indexed by numbers or slices, only by `[:, None]` and `[None, :]`. Select with a mask: "
        "`tl.sum(tl.where(mask, x, 0), 0)`. Or load the number from its address.",
    ),
    (
        r"NameError\(['\"](\w+) is not defined",
        "The compiler does not know `{0}` here. Python's own functions do not exist in a kernel: use those of `tl`. "
        "And a variable that is set only inside an `if` or a loop does not exist after it: set it before.",
    ),
    (r"'tensor' object has no attribute '(\w+)'", "A block has no `.{0}` in Triton. Use the functions of `tl`."),
    (
        r"has no len\(\)|cannot be interpreted as an integer|argument must be a string or a real number",
        "Python's functions do not take the numbers of a kernel. Loop with `for i in range(first, end, step)`, and "
        "convert with `.to(tl.float32)`.",
    ),
]
"""(what the compiler says, the same for the learner); {0} is the first group."""


def refused_word(kernel):
    """The word in a kernel (a function) that no compiler takes; "" where there is none, or the text is not known."""
    try:
        nodes = ast.walk(ast.parse(textwrap.dedent(inspect.getsource(kernel))))
    except (OSError, TypeError, SyntaxError):
        return ""
    return next((word for node in nodes for kind, word in REFUSED.items() if isinstance(node, kind)), "")


def raise_refusal(launches):
    """Raises Counterexample for the first of the launches whose kernel the compiler refuses. launches: of Launched.

    A kernel whose source cannot be copied, or that the compiler cannot be asked about here, is passed over.
    """
    for one in launches[:MOST]:
        try:
            _, source = with_needs(one.kernel, one.kernel.__name__)
        except NotAlone:
            continue
        if said := refused(source, one):
            line, words = said
            raise Counterexample(
                [f"# {one.kernel.__name__}, compiled for {CARD}"],
                "a kernel that compiles",
                f"refused: {line or words[:200]}",
                remark=in_plain_words(words),
            )


@cache
def refused(source, launch):
    """(line, what the compiler says) of a kernel that it refuses, or None. launch: a Launched."""
    from course_lib.attention.kernels.compiled_for import DoesNotCompile, compile_for

    try:
        compile_for(launch.kernel, [CHIP], dict(launch.types), dict(launch.constants), source=source)
    except DoesNotCompile as error:
        return error.line, error.words
    except ParameterError:  # this machine cannot ask a compiler
        return None


def in_plain_words(said):
    """What the compiler says, for the learner."""
    for pattern, words in WORDS:
        if found := re.search(pattern, said):
            groups = [group.replace("<[", "a block [").replace(">", "") for group in found.groups()]
            return f"The interpreter is Python and takes this; Triton's compiler does not. {words.format(*groups)}"
    return f"The interpreter is Python and takes this; Triton's compiler does not. It says: {said[:300]}"
