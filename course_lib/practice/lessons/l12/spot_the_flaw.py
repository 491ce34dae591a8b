"""The exercise 12.spot_the_flaw: seven reports, a flaw in each. The reports are in reports.py.

A check must not tell the flaw. So the outcome for a report is True, or the name that was given in its place.
"""

from course_lib.errors import CourseError
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial
from course_lib.practice.judge.running import Raised

from .reports import FLAWS
from .solutions.spot_the_flaw import find_flaws


def find_flaws_by_name():
    """The letters in the order of the flaws."""
    names = "closed_loop short_run few_requests unlike_users one_batch_size tpot_definition other_prompts".split()
    return dict(zip("ABCDEFG", names))


def find_flaws_one_by_one():
    """More letters than there are reports do no harm, and neither does another kind of dict."""
    from collections import OrderedDict

    found = OrderedDict(G="other_prompts", F="tpot_definition", E="one_batch_size")
    found.update(D="unlike_users", C="few_requests", B="short_run", A="closed_loop")
    return found


WHERE_TO_LOOK = {
    "A": "Look at the line `load`: who decides when the next request is sent? And who does in the claim?",
    "B": "Look at the table from the top to the bottom. What would its next row be?",
    "C": "Look at both percentiles. How many of the requests are above P99?",
    "D": "Look at the line `lengths`, then at whom the claim is about.",
    "E": "Look at the line `load`: what is in each step? And what is in each step of the server of the claim?",
    "F": "Compute (E2EL - TTFT) / 47 and E2EL / 48 for both rows, and compare with the last column.",
    "G": "Look at what differs between the two rows besides the version.",
}


def report(letter):
    """The Trial of one report."""

    def act(answer):
        got = answer()
        if not isinstance(got, dict):
            return got
        if letter not in got:
            raise CourseError(
                f'The dict has no "{letter}". It needs a key for each report, "A" to "G"; it has {list(got)}.'
            )
        name = got[letter]
        if not isinstance(name, str) or name not in FLAWS:
            raise CourseError(f'"{letter}" has {name!r}, which is none of the nine names: {", ".join(FLAWS)}.')
        return True if name == find_flaws()[letter] else name

    return Trial(
        [f'find_flaws()["{letter}"]'],
        act,
        show=lambda got: f"the flaw of report {letter}" if got is True else repr(got),
        explain=lambda expected, got: WHERE_TO_LOOK[letter] if isinstance(got, str) and got in FLAWS else "",
    )


TRIALS = {letter: report(letter) for letter in WHERE_TO_LOOK}
QUESTIONS = {
    "A": (
        "visitors of a site",
        "The users of the report are others than those of the claim, or they behave otherwise.",
    ),
    "B": ("the busiest hour", "An hour has more than nine seconds."),
    "C": ("log messages", "Two runs of the same server also differ."),
    "D": ("the slowest users of the chat", "The claim is about one user in a hundred."),
    "E": ("captured steps", "The numbers are right for what was measured."),
    "F": ("two servers", "The numbers were computed by two tools."),
    "G": ("a new version", "Only one thing may differ between two sides."),
}


def confused(letter, name, why):
    """The Mistake of giving the flaw `name` to a report."""
    return Mistake(
        f"report {letter} as `{name}`.",
        why,
        is_made_by=lambda answer, found: found.trial is TRIALS[letter] and found.outcome == name,
    )


def same_for_all(answer, found):
    named = answer()
    return isinstance(named, dict) and len(named) > 1 and len(set(named.values())) == 1


def upside_down(answer, found):
    named = answer()
    return isinstance(found.outcome, Raised) and isinstance(named, dict) and bool(named) and set(named) <= set(FLAWS)


def in_two_words(answer, found):
    named = answer()
    if not isinstance(found.outcome, Raised) or not isinstance(named, dict):
        return False
    names = [name for name in named.values() if isinstance(name, str) and name not in FLAWS]
    return any(name.strip().lower().replace(" ", "_").replace("-", "_") in FLAWS for name in names)


SPOT_THE_FLAW = Exercise(
    id="12.spot_the_flaw",
    title="Seven reports",
    name="find_flaws",
    cases="reports",
    properties=[
        Property(f"The flaw of report {letter} is found: {about}", meaning, [TRIALS[letter]])
        for letter, (about, meaning) in QUESTIONS.items()
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the names come without their letters.",
            'A dict is returned: a key for each report, "A" to "G", and the name of its flaw as the value.',
            is_made_by=lambda answer, found: isinstance(found.outcome, (tuple, list, set)),
        ),
        Mistake(
            "the names are the keys.",
            'The letter is the key and the name its value: `{"A": "…", "B": "…"}`.',
            is_made_by=upside_down,
        ),
        Mistake(
            "a name is not spelled as in the table.",
            "The names are lower case, with an underscore between words.",
            is_made_by=in_two_words,
        ),
        Mistake("one flaw for all reports.", "No two reports have the same flaw.", is_made_by=same_for_all),
        confused("A", "one_batch_size", "Three numbers of users were measured, and P50 hardly grows between them."),
        confused("A", "few_requests", "P99 of 600 requests is no exact number, but the claim does not depend on it."),
        confused("A", "short_run", "With more requests TTFT would be the same: the users keep the queue short."),
        confused("B", "few_requests", "250 requests give a median well enough. The two halves differ by far more."),
        confused("B", "closed_loop", "The loop is open here: requests come by themselves, 55 a second."),
        confused("B", "no_warm_up", "100 requests came before. A cold start would make the first half the slow one."),
        confused("C", "other_prompts", "The lengths are drawn from the same distribution; how they fell is chance."),
        confused("C", "short_run", "The server keeps up with this load, so no queue grows, however long the run is."),
        confused("D", "few_requests", "The report ran 800 requests twice, and both runs agree."),
        confused("D", "closed_loop", "The loop is open here: requests come by themselves."),
        confused("E", "closed_loop", "One user who waits does no harm to TPOT. Compare the number of sequences."),
        confused("E", "few_requests", "P50 and P99 of TPOT agree, so more requests would change nothing."),
        confused("E", "unlike_users", "The lengths are those of the site."),
        confused("F", "other_prompts", "Both servers got the same requests."),
        confused("F", "unlike_users", "The application asks for 48 tokens, and the prompts are its own."),
        confused("F", "one_batch_size", "The claim is about this load. Compute TPOT from the other columns."),
        confused("G", "no_warm_up", "Both sides had 100 requests before. The rows differ in something else."),
        confused("G", "unlike_users", "The lengths are those of the application. Compare the rows with each other."),
        confused("G", "few_requests", "The medians differ by a factor of five, and 400 requests are enough for them."),
    ],
    hints=[
        "Read the claim first. Then ask of each line of the setting: is it the same in the claim, and is it the same "
        "for all rows?",
        "Each report warmed up, and nothing else ran on its machine. So two of the nine names are out.",
        "Two reports have no second side to compare with, and an open loop: B and D. In one of them the rows tell, in "
        "the other the line `lengths`.",
        "In C, E, F and G two sides are compared. One of them has too few requests, one has another `cached`, one has "
        "one sequence in each step, and one has a column that does not follow from the two before it.",
    ],
    rights=[find_flaws, find_flaws_by_name, find_flaws_one_by_one],
    why="A report can only be judged when it says how the "
    "requests came, how long they were, how many and for how long, what was left out, and how each number is defined.",
    after="`course_lib/practice/lessons/l12/reports.py` makes the reports: change a setting, and see what becomes of a "
    "claim.",
)
