"""The `course` command. Each command imports what it needs when it runs, so that `course --help` answers at once."""

import codecs
import sys
from typing import Annotated

import typer

from .errors import CourseError

app = typer.Typer(
    name="course",
    help="LLM inference, page by page: lessons that you run, exercises that check themselves.",
    epilog="Start with `course lab`. Exit codes: 0 all well, 1 a check failed or something is missing, 2 wrong usage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# What stands for a character where the encoding of the output does not have it.
PLAIN = {"✓": "+", "✗": "x", "→": "->", "…": "...", "−": "-", "×": "x", "≤": "<=", "≥": ">=", "–": "-", "·": "."}

ExerciseId = Annotated[str, typer.Argument(metavar="ID", help="An exercise, such as 01.greedy.")]


@app.command(rich_help_panel="Learn")
def lab(
    lesson: Annotated[str, typer.Argument(help="The lesson to open, by number or name.")] = "00",
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open a browser, or only print the address.")
    ] = True,
):
    """Open JupyterLab on a lesson."""
    from .lab import open_lab

    raise typer.Exit(open_lab(lesson, browser=browser))


@app.command(rich_help_panel="Learn")
def doctor(
    json: Annotated[bool, typer.Option("--json", help="The same as JSON, for bug reports and scripts.")] = False,
):
    """Show what this machine can do, what the course will use, and why."""
    from .attention import explain
    from .machine.device import inspect_machine

    machine = inspect_machine()
    if json:
        from json import dumps

        print(dumps(machine.as_dict() | {"attention_functions": explain().splitlines()}, indent=2))
    else:
        print(f"{machine.report()}\n\nAttention, function by function\n{explain()}")


@app.command("next", rich_help_panel="Learn")
def next_():
    """Show which exercise comes next and where it is."""
    from .practice.notebook_answers import next_step

    print(next_step())


@app.command(rich_help_panel="Practise")
def check(
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]...", help="Exercises (01.greedy) or lessons (01); default: all that you have begun."
        ),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            help="A notebook or .py file with your answers, instead of the exercise notebooks. Without IDs: all in it."
        ),
    ] = None,
):
    """Check the answers that are saved in your exercise notebooks."""
    from .practice.notebook_answers import check_saved, choose

    wanted, missing = choose(ids, file)
    if not wanted:
        print("No exercise has been begun yet. `course next` says where to start.")
        return
    passed = True
    for exercise_id in wanted:
        result = check_saved(exercise_id, file)
        print(result, end="\n\n" if exercise_id != wanted[-1] else "\n")
        passed = passed and bool(result)
    if missing:
        print(f"\nNot in {file}: {', '.join(missing)}.")
    if not passed:
        raise typer.Exit(1)


@app.command(rich_help_panel="Practise")
def hint(exercise_id: ExerciseId):
    """Show the next hint, one step further each time."""
    from .practice import hint

    print(hint(exercise_id))


@app.command(rich_help_panel="Practise")
def progress():
    """Show which exercises are passed, tried and still to do."""
    from .practice import progress

    print(progress())


@app.command(rich_help_panel="Practise")
def reset(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Exercises (01.greedy) or lessons (01) to forget.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Forget all progress, guesses included.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")] = False,
):
    """Forget the progress of exercises, or all of it. Your notebooks stay as they are, and a copy is kept."""
    from .practice.notebook_answers import expand
    from .practice.progress import workbook

    if bool(ids) == everything:
        raise typer.BadParameter("name exercises or a lesson, or say --all")
    if everything and not yes and not typer.confirm("Forget all progress? (A copy is kept.)"):
        print("Nothing was changed.")
        return
    print(workbook.reset(*expand(ids or [])))


@app.command(rich_help_panel="Write the course")
def build(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Lessons by number or name (01, solutions/01); default: all."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only compare the notebooks with their sources; write and run nothing.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Execute again even where the code has not changed.")] = False,
):
    """Make the notebooks from their sources, executing those whose code has changed."""
    from . import authoring
    from .checkout import find_root

    root = find_root()
    if not check:
        authoring.build(root, names or (), force=force)
        return
    problems = authoring.check(root, names or ())
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        raise typer.Exit(1)
    print("Every notebook is what its source makes.")


def in_plain_characters(problem):
    """Characters that the encoding of the output does not have, by some that every encoding has."""
    return "".join(PLAIN.get(c, "?") for c in problem.object[problem.start : problem.end]), problem.end


def main():
    """Entry point. A CourseError becomes one message on stderr and exit code 1."""
    codecs.register_error("course", in_plain_characters)
    for stream in (sys.stdout, sys.stderr):  # a pipe on Windows is in cp1252, which has no check mark
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="course")
    try:
        app()
    except CourseError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
