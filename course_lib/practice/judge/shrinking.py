"""Makes a failing case smaller as long as it fails: a program with fewer calls, a script with fewer requests."""

from .running import Raised


def shrunk(case, trial, got, *, candidates, trial_of, fails, most):
    """(case, trial) of the smallest failing case that can be reached by steps from a failing one.

    candidates(case, got): smaller cases, in the order in which they are tried. trial_of(case): its Trial. fails(trial):
    the answer's outcome where it is wrong, or None; see examine.Fails. got: the outcome in `trial`. most: at most so
    many cases are tried. An answer that was stopped by the clock is not run again.
    """
    tried, found, seen = 0, case, set()
    while found is not None and not (isinstance(got, Raised) and got.out_of_time):
        case, found = found, None
        for other in candidates(case, got):
            if other.size >= case.size or (key := repr(other)) in seen:
                continue
            seen.add(key)  # what did not fail before would not fail now
            if tried == most:
                return case, trial
            tried += 1
            candidate = trial_of(other)
            outcome = fails(candidate)
            if outcome is not None:
                found, trial, got = other, candidate, outcome
                break
    return case, trial
