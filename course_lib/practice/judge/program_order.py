"""Programs of a kernel run in any order on a GPU: runs a case in other orders, and looks for programs that meet."""

from . import running
from .exercise import Counterexample

ORDERS = ("reversed", "shuffled")


def in_other_orders(answer, trial):
    """Raises Counterexample where the outcome of a trial depends on the order in which the programs of a kernel run.

    The answer is right where they run in order. Two programs may store one place only where they store the same.
    """
    from course_lib.attention.recording.clashes import clashes
    from course_lib.attention.recording.recorder import record_accesses

    expected, _ = running.run(lambda: trial.act(answer), answer, trial.limit_s)
    for order in ORDERS:
        with record_accesses(order=order) as log:
            got, _ = running.run(lambda: trial.act(answer), answer, trial.limit_s)
        if isinstance(got, running.Raised):
            return  # stopped by the clock, or beside a GPU a kernel that cannot be interpreted
        found = clashes(log)
        for clash in found:
            if clash.loads:
                raise Counterexample(
                    trial.story,
                    "no program loads what another one stores",
                    str(clash),
                    remark="The interpreter runs one program after the other. On a GPU they run in any order and at "
                    "the same time, so what is loaded there may be old or new. A program can use only what was "
                    "stored before the launch, or by itself.",
                )
        if not trial.agree(expected, got):
            raise Counterexample(
                trial.story,
                "each place is stored by one program",
                str(found[0]) if found else trial.show(got),
                remark=f"With the programs {order}, the result is another one. On a GPU they run in any order, and the "
                "last one to store wins. Mask the lanes that are not this program's own: to be inside the tensor is "
                "not enough.",
            )
