"""A guess before the result: one click, kept with progress, and nothing waits for it."""

import sys
from html import escape

from course_lib.errors import CourseError

from .progress import workbook
from .report import render

_WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

_LOOK = """<style>
.cl-guess.cl-guess { height: auto; min-height: 28px; line-height: 1.5; white-space: normal; text-align: left; }
.cl-guess.cl-guess:focus-visible { outline: 2px solid var(--jp-ui-font-color1, currentColor); outline-offset: 2px; }
</style>"""
"""A long option is broken into lines where it would be cut off, and one sees which option a key would choose."""

asked = {}
"""{question id: (question, options, answer)} of this kernel, in the order in which they were asked first."""


def predict(question_id, question, options, answer=None):
    """Shows a question with one button for each option, and keeps the guess.

    answer: the index of the right option; with it, progress counts how many guesses were right.
    The answer is not shown here: the next cell shows it. Without a kernel, the saved notebook
    shows the question and its options as a list. Raises CourseError for fewer than two options
    or an answer that is none of them.
    """
    options = [str(option) for option in options]
    if len(options) < 2:
        raise CourseError(f"{question_id} has {len(options)} options; a guess needs at least two. Add one.")
    if answer is not None and not (type(answer) is int and 0 <= answer < len(options)):
        raise CourseError(f"{question_id}: answer is {answer!r}, but the options are numbered 0 to {len(options) - 1}.")
    asked[question_id] = question, options, answer
    plain = "\n".join([question, *(f"  {letter(i)}. {option}" for i, option in enumerate(options))])
    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        print(plain)
        return
    bundle = {"text/plain": plain, "text/html": still(question, options)}
    view = buttons(question_id, question, options, answer)
    if view is not None:
        bundle[_WIDGET_VIEW] = {"version_major": 2, "version_minor": 0, "model_id": view.model_id}
    # Raw and at the top level: on ipywidgets 7 anything else loses the form without a kernel.
    ipython.display.display(bundle, raw=True)


def letter(index):
    return chr(ord("A") + index)


def still(question, options):
    """The form without a kernel: a question with its options. It is the same for everybody."""
    items = "".join(f"<li>{render.rich(option)}</li>" for option in options)
    return render.card(
        f"Guess: {question}",
        f'<div class="cl-ck-body cl-ck-say"><p><b>Guess.</b> {render.rich(question)}</p>'
        f'<ol class="cl-ck-steps" type="A">{items}</ol></div>',
    )


def told(options, guess):
    """The sentence under the buttons."""
    if not guess or not 0 <= guess.get("choice", -1) < len(options):
        return "One click; you can change it until you go on."
    return f"You guessed “{options[guess['choice']]}”. The next cell shows what it is."


def said(sentence, notices):
    """The HTML under the buttons, with what must be said of the workbook."""
    return "<br>".join(f"<span>{escape(line)}</span>" for line in [sentence, *notices])


def buttons(question_id, question, options, answer):
    """The widget, or None where ipywidgets is not installed."""
    try:
        import ipywidgets as widgets
    except ImportError:
        return None
    guess = workbook.guess(question_id)
    status = widgets.HTML(said(told(options, guess), workbook.notices()))
    row = [
        widgets.Button(description=option, tooltip=option, layout=widgets.Layout(width="auto", max_width="100%"))
        for option in options
    ]

    def mark(choice):
        for i, button in enumerate(row):
            button.button_style = "primary" if i == choice else ""
            button.icon = "circle" if i == choice else ""  # no tick: that would say "right"

    def on_click(choice):
        def keep(_):
            right, it_was = (None, "") if answer is None else (choice == answer, options[answer])
            notices = workbook.record_guess(question_id, choice, options[choice], right, question, it_was)
            mark(choice)
            status.value = said(told(options, {"choice": choice}), notices)

        return keep

    for i, button in enumerate(row):
        button.add_class("cl-guess")
        button.on_click(on_click(i))
    mark(guess["choice"] if guess else None)
    title = widgets.HTML(f"{_LOOK}<b>Guess.</b> {render.rich(question)}")
    return widgets.VBox([title, widgets.HBox(row, layout=widgets.Layout(flex_flow="row wrap")), status])
