"""Drafts without a model: what followed the same few tokens the last time.

    the cat sat on the mat . the cat ?         the last two tokens stood before: "sat on the ..." is drafted

Good where the output repeats the prompt: summaries, code that is edited, names. Source: prompt lookup decoding
(A. Saxena, 2023); vLLM calls it "ngram".
"""


class PromptLookup:
    """The tokens of one sequence, and where each run of a few of them stood last.

    longest, shortest: how many of the newest tokens must have stood before; the longest run that has is taken. Each new
    token costs `longest - shortest + 1` entries in a dict, however long the sequence is.
    """

    def __init__(self, longest=4, shortest=2):
        self.lengths = range(longest, shortest - 1, -1)
        self.token_ids, self._ends, self._before = [], {}, {}

    def extend(self, token_ids):
        """The sequence goes on with these tokens."""
        for token_id in token_ids:
            self.token_ids.append(token_id)
            end = len(self.token_ids)
            for n in self.lengths:
                if n <= end:
                    run = tuple(self.token_ids[end - n :])
                    self._before[n] = self._ends.get(run)  # where the newest run of n ended before
                    self._ends[run] = end

    def propose(self, most):
        """At most `most` tokens that may come next; none if the newest tokens never stood before."""
        for n in self.lengths:
            if (end := self._before.get(n)) is not None:
                return self.token_ids[end : end + most]
        return []
