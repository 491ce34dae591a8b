"""What some sequences ask for beside a plain choice: penalties before it, log probabilities after it.

    all rows                 logits -> chosen                                   as ever, in the graph too
    rows with penalties      logits -> with penalties -> chosen again           in the place of the first choice
    rows with logprobs       logits, chosen -> Logprobs

A step in which no sequence asks does nothing of this. Source: vLLM's Sampler.
"""

from dataclasses import replace

import numpy as np

from course_lib.decoding.logprobs import Logprobs
from course_lib.decoding.penalties import PenaltyTable


class ChoiceExtras:
    """For one runner, which it does not hold: an engine that is deleted frees its memory at once, with no garbage
    collection. choose: `decoding.choosing.choose`, or its kernel. upload: upload(array) brings a NumPy array to the
    device of the logits.
    """

    def __init__(self, choose, upload):
        self.choose, self.upload = choose, upload
        self._table, self._known = None, {}  # row -> what the table was told of it

    def apply(self, runner, arrays, logits, chosen):
        """Chooses again where penalties change the logits, in place, and notes what was chosen.

        runner: the Runner, whose `rows` say who asks. arrays: a StepArrays. logits: a row for each of its choices, and
        chosen: int64, the token chosen by it. Returns the Logprobs, or None where no sequence asks for them.
        """
        asking = runner.rows.asking
        if not asking:
            return None
        its = [asking.get(row, (None, None)) for row in arrays.choice_rows.tolist()]
        with_penalties = [i for i, (_, history) in enumerate(its) if history is not None]
        if with_penalties:
            self._choose_again(runner, only(arrays, with_penalties), with_penalties, logits, chosen)
        at = [i for i, (params, _) in enumerate(its) if params is not None and params.logprobs is not None]
        if not at:
            return None
        where = self.upload(np.array(at))
        return Logprobs([arrays.names[i] for i in at], [its[i][0].logprobs for i in at], logits[where], chosen[where])

    def _choose_again(self, runner, arrays, at, logits, chosen):
        """arrays: of the choices with penalties. at: which ones of all choices they are."""
        table, upload = self._table_for(runner, logits), self.upload
        rows = np.array(table.rows(arrays.choice_rows.tolist()))
        at = upload(np.array(at))
        again = self.choose(table.apply(logits[at], upload(rows)), runner.choice_rows(arrays))
        chosen[at] = again
        runner.newest[upload(arrays.choice_rows)] = again
        # Of n sequences that share a prompt the first one keeps the row; the others come with a history of their own.
        own = np.flatnonzero(arrays.seed_offsets == 0)
        table.count(upload(rows[own]), again[upload(own)])

    def _table_for(self, runner, logits):
        """The PenaltyTable, with just those sequences in it that ask now."""
        if self._table is None:
            self._table = PenaltyTable(logits.shape[-1], logits.device)
        asking = {row: one for row, one in runner.rows.asking.items() if one[1] is not None}
        for row in self._known.keys() - asking.keys():
            self._table.forget(row)
            del self._known[row]
        for row, one in asking.items():
            if self._known.get(row) is not one:
                self._known[row] = one
                self._table.begin(row, one[0], *one[1])
        return self._table


def only(arrays, at):
    """The StepArrays with these choices alone, in this order."""
    names = "choice_rows", "choice_positions", "seed_offsets"
    return replace(arrays, names=[arrays.names[i] for i in at], **{name: getattr(arrays, name)[at] for name in names})
