"""Next-token probabilities: what the model offers for the next token, what the cut leaves, and what was chosen."""

from course_lib.viz.kit.base import View
from course_lib.viz.kit.inputs import index_or_none

from .model import probabilities_data


def next_token_probabilities(tokens, steps):
    """The text so far, and a bar for each candidate of the next token, before and after temperature and cut.

    tokens: list[str], the text of every position, prompt first.
    steps: list of dicts, one a chosen token: "position" (index in `tokens` of the token chosen), "candidates" (list of
        {"token": str, "p": the model's softmax, "q": after temperature, top-k and top-p; 0 = cut}), "rest" (the
        probability p of all others together), "rest_q" (their q; when missing, what the candidates' q leave) and
        "chosen" (str, its text).
    `selected` is the rank of a candidate, 0 = most probable, or None. Raises ParameterError for bad data.
    """
    return NextTokenProbabilities(probabilities_data(tokens, steps))


class NextTokenProbabilities(View):
    """See `next_token_probabilities`."""

    name = "probabilities"
    noun = "next-token probabilities"

    def check_selected(self, selected):
        return index_or_none(selected, max(len(step["rows"]) for step in self.data["steps"]), "rank")

    def _rows(self, step):
        rows = self.data["steps"][step - 1]["rows"]
        texts = [[row["label"], row["p_text"], row["q_text"], "chosen" if row["chosen"] else ""] for row in rows]
        ranks = ["" if row["others"] else rank for rank, row in enumerate(rows, 1)]
        return [[rank, *text] for rank, text in zip(ranks, texts)]

    def _paint(self, step):
        from .still import paint

        return paint(self.data, step)
