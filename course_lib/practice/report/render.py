"""Results as HTML for a notebook. It can be read without its style sheet too, as on GitHub."""

import re
from functools import cache
from html import escape
from importlib.resources import files

from . import score_board, words

_TICK = (
    '<svg width="10" height="10" viewBox="0 0 10 10" fill="none" stroke="currentColor" stroke-width="2" '
    'stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="M1.5 5.4 4 8l4.6-6"/></svg>'
)
_CROSS = (
    '<svg width="9" height="9" viewBox="0 0 10 10" stroke="currentColor" stroke-width="2" '
    'stroke-linecap="round" aria-hidden="true"><path d="M1.5 1.5l7 7m0-7-7 7"/></svg>'
)
_DASH = (
    '<svg width="8" height="8" viewBox="0 0 10 10" stroke="currentColor" stroke-width="2" '
    'stroke-linecap="round" aria-hidden="true"><path d="M2 5h6"/></svg>'
)
_MARKS = {"yes": _TICK, "no": _CROSS, "open": _DASH}
_LOOKS = {"holds": "yes", "fails": "no", "passed": "yes", "failed": "no", "done": "yes"}


def html(shown):
    """The HTML of a CheckResult, Hint, Solution, Progress, Guesses or ScoreBoard."""
    return {
        "CheckResult": _check,
        "Hint": _hint,
        "Solution": _solution,
        "Progress": _progress,
        "Guesses": _guesses,
        "ScoreBoard": _score_board,
    }[type(shown).__name__](shown)


def text(shown):
    """The same as plain text, for terminals, logs and graders."""
    return words.text(shown)


@cache
def style():
    """The style element: the colours of the views' theme, and our own sheet. Both have one palette."""
    theme = files("course_lib.viz.kit").joinpath("theme.css").read_text(encoding="utf-8")
    grounds = re.findall(r"^(?:\.cl|:is\([^{]*\) \.cl) \{[^}]*\}", theme, flags=re.M)
    own = files("course_lib.practice.report").joinpath("check.css").read_text(encoding="utf-8")
    sheet = re.sub(r"/\*.*?\*/", "", "\n".join([*grounds, own]), flags=re.S)
    return "<style>" + " ".join(sheet.split()) + "</style>"


def rich(sentence):
    """Escaped text in which `backticks` make code."""
    parts = escape(sentence, quote=False).split("`")
    if len(parts) % 2 == 0:  # a lone backtick is only a sign
        return "`".join(parts)
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))


def card(label, *parts):
    """The frame of everything shown. `label` is what a screen reader calls it."""
    return f'{style()}<div class="cl cl-ck" role="group" aria-label="{escape(label)}">{"".join(parts)}</div>'


def dot(look, said):
    """The round mark, with its meaning as text for those who do not see it."""
    return f'<span class="cl-ck-dot">{_MARKS[look]}<span class="cl-ck-hidden">{escape(said)}: </span></span>'


def head(title, summary, look=None, said=""):
    mark = dot(look, said) if look else ""
    return (
        f'<div class="cl-ck-head cl-ck-{look or "plain"}">{mark}<code>{escape(title)}</code> '
        f'<span class="cl-ck-sum">{rich(summary)}</span></div>'
    )


def foot(*sentences):
    spans = "".join(f"<span>{s}</span> " for s in sentences if s)
    return f'<div class="cl-ck-foot cl-ck-say">{spans}</div>' if spans else ""


def notices(lines):
    return "".join(f'<div class="cl-ck-notice cl-ck-say"><b>Note.</b> {rich(line)}</div>' for line in lines)


def _check(result):
    look = _LOOKS.get(result.state, "open")
    parts = [head(result.exercise_id, words.summary(result), look, result.state)]
    if result.message:
        parts.append(f'<div class="cl-ck-body cl-ck-say"><p>{rich(result.message)}</p></div>')
    if result.verdicts:
        parts.append(f'<ul class="cl-ck-list">{"".join(map(_verdict, result.verdicts))}</ul>')
    parts.append(notices(result.notices))
    parts.append(foot(*_bold_first(words.after(result))))
    return card(f"Check of {result.exercise_id}: {result.state}", *parts)


def _bold_first(sentences):
    return [rich(s).replace("Passed.", "<b>Passed.</b>", 1) for s in sentences]


def _verdict(verdict):
    look = _LOOKS.get(verdict.state, "open")
    title = f'<span class="cl-ck-title">{rich(verdict.prop.title)}</span>'
    if verdict.remark:
        joint = ": not verified here, " if verdict.state == "not verified" else ": "
        title += f'<span class="cl-ck-remark">{joint}{rich(verdict.remark)}</span>'
    more = _counterexample(verdict) if verdict.counterexample else ""
    return f'<li class="cl-ck-{look}">{dot(look, verdict.state)}<div>{title}{more}</div></li>'


def _counterexample(verdict):
    found = verdict.counterexample
    lines = "".join(f"<li><code>{escape(line, quote=False)}</code></li>" for line in found.story)
    note = f'<span class="cl-ck-note">  # {escape(found.note, quote=False)}</span>' if found.note else ""
    pair = (
        f'<div class="cl-ck-pair"><div><span class="cl-ck-cap">expected</span>'
        f"<pre>{escape(str(found.expected), quote=False)}{note}</pre></div>"
        f'<div class="cl-ck-yours"><span class="cl-ck-cap">yours</span>'
        f"<pre>{escape(str(found.got), quote=False)}</pre></div></div>"
    )
    said = []
    if found.printed:
        said.append(
            f'<div class="cl-ck-pair"><div><span class="cl-ck-cap">printed meanwhile</span>'
            f"<pre>{escape(words.printed(found), quote=False)}</pre></div></div>"
        )
    said += [
        f'<p class="cl-ck-say">{"<b>" + rich(bold) + "</b> " if bold else ""}{rich(plain)}</p>'
        for bold, plain in words.reasons(verdict)
    ]
    return f'<ol class="cl-ck-story">{lines}</ol>{pair}{"".join(said)}'


def _hint(hint):
    items = "".join(f"<li>{rich(h)}</li>" for h in hint.shown)
    start = 1 if hint.again else hint.number
    return card(
        f"Hint for {hint.exercise.id}",
        head(hint.exercise.id, words.hint_count(hint)),
        f'<div class="cl-ck-body cl-ck-say"><ol class="cl-ck-steps" start="{start}">{items}</ol></div>'
        if hint.again
        else f'<div class="cl-ck-body cl-ck-say"><p>{rich(hint.shown[0])}</p></div>',
        notices(hint.notices),
        foot(rich(words.after_hint(hint))),
    )


def _solution(solution):
    return card(
        f"Solution of {solution.exercise.id}",
        head(solution.exercise.id, "solution"),
        f'<div class="cl-ck-body cl-ck-say"><pre class="cl-ck-code">{escape(solution.source, quote=False)}</pre>'
        f"<p>{rich(solution.exercise.why)}</p></div>",
    )


def _progress(progress):
    body = []
    for lesson, exercises in progress.lessons().items():
        name = f"{lesson} {progress.titles.get(lesson, '')}".rstrip()
        counts = " · ".join(words.lesson_counts(progress, lesson, exercises))
        rows = [
            f'<tr><th scope="rowgroup" colspan="2"><b>{escape(name)}</b></th>'
            f'<td class="cl-ck-number" colspan="3">{escape(counts)}</td></tr>'
        ]
        for exercise, entry in exercises if words.is_begun(exercises) else ():
            state = entry.state or "open"
            look = _LOOKS.get(state, "open")
            rows.append(
                f'<tr><th scope="row"><code>{exercise.id}</code></th><td>{escape(exercise.title)}</td>'
                f'<td><span class="cl-ck-state cl-ck-{look}">'
                f'<span class="cl-ck-dot" aria-hidden="true">{_MARKS[look]}</span>'
                f'{state}</span></td><td class="cl-ck-number">{entry.attempts}</td>'
                f'<td class="cl-ck-number">{entry.hints} of {len(exercise.hints)}</td></tr>'
            )
        body.append(f"<tbody>{''.join(rows)}</tbody>")
    table = (
        '<table class="cl-ck-table"><thead><tr><th scope="col">exercise</th><th scope="col">title</th>'
        '<th scope="col">state</th>'
        '<th scope="col" class="cl-ck-number">checks</th><th scope="col" class="cl-ck-number">hints</th></tr></thead>'
        f"{''.join(body)}</table>"
    )
    return card(
        "Progress",
        head("progress", words.progress_count(progress)),
        table,
        notices(progress.notices),
        foot(*map(rich, words.after_progress(progress))),
    )


def _guesses(shown):
    looks, rows = {True: ("yes", "right"), False: ("no", "wrong"), None: ("open", "not judged")}, []
    for row in shown.rows:
        look, said = looks[row.right]
        rows.append(
            f'<li class="cl-ck-{look}">{dot(look, said)}<div><span class="cl-ck-title">{rich(row.question)}</span>'
            f'<p class="cl-ck-say">{rich(words.beside(row))}</p></div></li>'
        )
    body = f'<ul class="cl-ck-list">{"".join(rows)}</ul>' if rows else ""
    return card(
        f"Guesses of lesson {shown.lesson}",
        head(f"guesses {shown.lesson}", words.guesses_count(shown)),
        body or f'<div class="cl-ck-body cl-ck-say"><p>{rich(words.none_asked(shown))}</p></div>',
        notices(shown.notices),
    )


def _score_board(board):
    numbers = [' class="cl-ck-number"' if column in (1, 2, 3) else "" for column in range(len(score_board.COLUMNS))]
    head_cells = (f'<th scope="col"{css}>{name}</th>' for name, css in zip(score_board.COLUMNS, numbers))
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td{css}>{escape(cell)}</td>" for cell, css in zip(unbroken(row)[1:], numbers[1:]))
        + "</tr>"
        for row in score_board.rows(board)
    )
    return card(
        "The score board",
        head("score board", score_board.summary(board)),
        f'<table class="cl-ck-table"><thead><tr>{"".join(head_cells)}</tr></thead><tbody>{body}</tbody></table>',
        notices(score_board.sentences(board)),
        foot(rich(score_board.MEMORY)),
    )


def unbroken(row):
    """The cells of a ScoreBoard's row; whether the tokens are right stays on one line."""
    at = score_board.COLUMNS.index("tokens")
    return [*row[:at], row[at].replace(" ", "\xa0"), *row[at + 1 :]]
