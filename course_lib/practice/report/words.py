"""The sentences of every result, and the result as plain text."""

from . import score_board

_MARKS = {"holds": "✓", "passed": "✓", "done": "✓", "fails": "✗", "failed": "✗"}


def text(shown):
    """The plain text of a CheckResult, Hint, Solution, Progress, Guesses or ScoreBoard."""
    return {
        "CheckResult": _check,
        "Hint": _hint,
        "Solution": _solution,
        "Progress": _progress,
        "Guesses": _guesses,
        "ScoreBoard": score_board.text,
    }[type(shown).__name__](shown)


def summary(result):
    """ "3 of 6 hold · 2 not reached", right of the title."""
    if result.state == "unwritten":
        return "not written yet"
    if result.state == "unfit":
        return "nothing to check"
    unverified, unreached = result.count("not verified"), result.count("not reached")
    parts = [f"{result.count('holds')} of {len(result.verdicts) - unverified} hold"]
    parts += [f"{unreached} not reached"] * bool(unreached) + [f"{unverified} not verified here"] * bool(unverified)
    return " · ".join(parts)


def after(result):
    """The sentences at the foot of a check."""
    exercise = result.exercise
    if result:
        said = exercise.after or (
            f'Your code is kept: `workbook.load("{exercise.id}")` gives it back.' if result.kept else ""
        )
        return [f"Passed. {said}".rstrip()]
    if result.state == "unfit":
        return []
    sentences = [f'Next: `hint("{exercise.id}")`']
    if result.failure and (result.failure.counterexample.failing or 0) > 1:
        sentences.append(f"smallest of {result.failure.counterexample.failing} failing {exercise.cases}")
    return sentences


def reasons(verdict):
    """[(bold, plain)], sentences: what is odd about this case; the mistake it looks like, or why the property matters.

    Last comes what was not looked for, where the search ended early.
    """
    found, mistake = verdict.counterexample, verdict.mistake
    said = [("", found.remark)] if found.remark else []
    if mistake:
        said.append((f"Looks like: {mistake.name}", mistake.why))
    elif verdict.prop.meaning and not (found.raised or found.only_kind):  # these two speak for themselves
        said.append(("Why it matters.", verdict.prop.meaning))
    return said + [("", sentence) for sentence in verdict.unfinished]


def printed(counterexample, most=6):
    lines = counterexample.printed.rstrip("\n").split("\n")
    more = [f"… {len(lines) - most} more lines"] if len(lines) > most else []
    return "\n".join([line[:200] for line in lines[:most]] + more)


def hint_count(hint):
    total = len(hint.exercise.hints)
    return f"all {total} hints again" if hint.again else f"hint {hint.number} of {total}"


def after_hint(hint):
    show = f'`solution("{hint.exercise.id}")` shows the answer'
    if hint.again:
        return f"You have seen them all. {show[0].upper()}{show[1:]}."
    return f"That was the last one; {show}." if hint.last else "Call it again for one step more."


def progress_count(progress):
    return f"{progress.done} of {len(progress.exercises)} done"


def after_progress(progress):
    """What comes next, and the guesses."""
    left = next((e for e in progress.exercises if progress.entries[e.id].state != "done"), None)
    sentences = [f"Next: `{left.id}`, {left.title}" if left else "All exercises are done."]
    right, judged = progress.count_guesses()
    if judged:
        sentences.append(f"guesses: {right} of {judged} right")
    return sentences


def lesson_counts(progress, lesson, exercises):
    """ "2 of 4 done", "1 of 3 guessed right", "2 open" of one lesson, without what is nothing."""
    done, (right, judged) = sum(entry.state == "done" for _, entry in exercises), progress.count_guesses(lesson)
    is_open = len(exercises) - done
    counts = [f"{done} of {len(exercises)} done"] if done else []
    counts += [f"{right} of {judged} guessed right"] if judged else []
    return [*counts, f"{is_open} open"] if is_open else counts


def is_begun(exercises):
    return any(entry.state for _, entry in exercises)


def guesses_count(shown):
    judged = [row.right for row in shown.rows if row.right is not None]
    if judged:
        return f"{sum(judged)} of {len(judged)} right"
    return "none has one right answer" if any(row.expected for row in shown.rows) else "no guess yet"


def beside(row):
    """One guess beside what it was."""
    expected = f"you expected “{row.expected}”" if row.expected else "no guess"
    if not row.it_was:
        return expected
    return f"{expected}: right" if row.right else f"{expected}; it was “{row.it_was}”"


def none_asked(shown):
    return f"No question of lesson {shown.lesson} was asked yet. Run the cells above from the top."


def _check(result):
    lines = [f"{_MARKS.get(result.state, '–')} {result.exercise_id}   {summary(result)}"]
    if result.message:
        lines += ["", result.message]
    for verdict in result.verdicts:
        tail = (
            f": not verified here, {verdict.remark}"
            if verdict.state == "not verified"
            else (f": {verdict.remark}" if verdict.remark else "")
        )
        tail += " (not reached)" if verdict.state == "not reached" else ""
        lines.append(f"  {_MARKS.get(verdict.state, '–')} {verdict.prop.title}{tail}")
        if verdict.counterexample:
            lines += _counterexample(verdict)
    lines += [f"Note. {notice}" for notice in result.notices]
    ending = after(result)
    return "\n".join([*lines, " · ".join(ending)] if ending else lines)


def _counterexample(verdict):
    found = verdict.counterexample
    lines = ["", *(f"      {n}  {line}" for n, line in enumerate(found.story, 1)), ""]
    lines += _labelled("expected", f"{found.expected}{f'   # {found.note}' if found.note else ''}")
    lines += _labelled("yours", str(found.got))
    if found.printed:
        lines += _labelled("printed", printed(found))
    lines += [f"      {' '.join(filter(None, pair))}" for pair in reasons(verdict)]
    return [*lines, ""]


def _labelled(label, value):
    first, *more = value.split("\n")
    return [f"      {label:<9} {first}", *(" " * 16 + line for line in more)]


def _hint(hint):
    lines = [f"{hint.exercise.id}   {hint_count(hint)}", ""]
    lines += [f"  {n}. {h}" for n, h in enumerate(hint.shown, 1)] if hint.again else [f"  {hint.shown[0]}"]
    return "\n".join([*lines, "", *(f"Note. {n}" for n in hint.notices), after_hint(hint)])


def _solution(solution):
    return f"{solution.exercise.id}   solution\n\n{solution.source}\n{solution.exercise.why}"


def _progress(progress):
    width = max(len(e.id) for e in progress.exercises)
    title = max(len(e.title) for e in progress.exercises)
    lines = [f"progress   {progress_count(progress)}", ""]
    for lesson, exercises in progress.lessons().items():
        name = f"{lesson}  {progress.titles.get(lesson, '')}".rstrip()
        lines.append(f"{name:<38}  {' · '.join(lesson_counts(progress, lesson, exercises))}")
        if not is_begun(exercises):
            continue
        for exercise, entry in exercises:
            state = entry.state or "open"
            lines.append(
                f"  {_MARKS.get(state, '–')} {exercise.id:<{width}}  {exercise.title:<{title}}  {state:<5}  "
                f"{entry.attempts} {'check' if entry.attempts == 1 else 'checks'}, "
                f"{entry.hints} of {len(exercise.hints)} hints"
            )
    return "\n".join([*lines, "", *(f"Note. {n}" for n in progress.notices), " · ".join(after_progress(progress))])


def _guesses(shown):
    lines = [f"guesses {shown.lesson}   {guesses_count(shown)}"]
    marks = {True: "✓", False: "✗", None: "–"}
    for row in shown.rows:
        lines += [f"  {marks[row.right]} {row.question}", f"      {beside(row)}"]
    lines += [] if shown.rows else [none_asked(shown)]
    return "\n".join([*lines, *(f"Note. {n}" for n in shown.notices)])
