"""What must hold of a scheduler's running requests between two steps."""

from course_lib.errors import IntegrityError

from .request import RUNNING


def check_running(scheduler):
    """Raises IntegrityError with the first thing that does not hold."""
    sequences = sum(request.num_sequences for request in scheduler.running.values())
    if sequences != scheduler.num_sequences or sequences > scheduler.config.max_num_seqs:
        raise IntegrityError(
            f"The running requests stand for {sequences} sequences, {scheduler.num_sequences} are counted, and "
            f"{scheduler.config.max_num_seqs} may run."
        )
    for request in scheduler.running.values():
        held = scheduler.manager.table(request).num_tokens if request in scheduler.manager else 0
        computed = request.num_computed_tokens + request.num_in_flight_tokens
        if request.status != RUNNING or held != computed or held >= request.num_tokens + request.num_pending_tokens:
            raise IntegrityError(
                f"{request} runs and has slots for {held} tokens: between two steps these are the computed "
                f"ones and those in flight, and one token at least is still to be computed."
            )
