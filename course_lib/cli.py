"""The `course` command. Each command imports what it needs when it runs, so that `course --help` answers at once."""

import sys
from typing import Annotated

import typer

from .errors import CourseError, ModelError, ParameterError
from .workload.bench.command import bench

app = typer.Typer(
    name="course",
    help="LLM inference, page by page: lessons that you run, exercises that check themselves.",
    epilog="Start with `course lab`. Exit codes: 0 all well, 1 a check failed or something is missing, 2 wrong usage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

UsageError = typer.BadParameter.__mro__[1]  # click's, or, in newer versions of typer, its own copy of it

ExerciseId = Annotated[str, typer.Argument(metavar="ID", help="An exercise, such as 01.greedy.")]
_names = typer.Argument(metavar="[NAME]...", help="Lessons by number or name (01, solutions/01); default: all.")
Names = Annotated[list[str] | None, _names]


@app.command(rich_help_panel="Learn")
def lab(
    lesson: Annotated[str, typer.Argument(help="The lesson to open, by number or name.")] = "00",
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open a browser, or name the address.")
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


progress_app = typer.Typer(invoke_without_command=True, add_completion=False)
app.add_typer(progress_app, name="progress", rich_help_panel="Practise")
ProgressFile = Annotated[str, typer.Argument(metavar="FILE", help="A file with progress and workbook.")]


@progress_app.callback()
def progress(context: typer.Context):
    """Show which exercises are passed, tried and still to do; take progress to another machine."""
    if context.invoked_subcommand is None:
        from .practice import progress

        print(progress())


@progress_app.command("export")
def export_progress(file: ProgressFile):
    """Write progress and workbook to one file."""
    from .practice.progress import transfer

    print(transfer.export(file))


@progress_app.command("import")
def import_progress(file: ProgressFile):
    """Merge progress and workbook from such a file into what is here."""
    from .practice.progress import transfer

    print(transfer.import_(file))


@app.command(rich_help_panel="Practise")
def assemble(
    model: Annotated[str, typer.Option(help="A bundled model, a folder, or a hub id such as owner/name.")] = "tale",
    card: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write a card to share: FILE.svg or .png, and .json beside it.")
    ] = None,
):
    """Run the engine on your passed parts: tokens a second and peak memory from naive to final, on this machine."""
    from rich.console import Console

    from .practice import assemble
    from .practice.report import score_board
    from .practice.report.score_card import check_card

    if card is not None:
        check_card(card)  # before minutes of work
    board = assemble(model, tell=lambda sentence: print(sentence, file=sys.stderr))
    Console().print(score_board.table(board))
    print("\n".join([score_board.summary(board), *score_board.sentences(board)]))
    if card is not None:
        print(f"Written: {' and '.join(map(str, board.card(card)))}")
    if any(score.problem or score.wrong for score in board.scores):
        raise typer.Exit(1)


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


app.command(rich_help_panel="Measure")(bench)


@app.command(rich_help_panel="Serve")
def serve(
    model: Annotated[str, typer.Argument(help="A bundled model, a folder, or a name such as owner/name.")] = "tale",
    host: Annotated[str, typer.Option(help="Where to listen; 0.0.0.0 is every network of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any that is free.")] = 8000,
    served_model_name: Annotated[str | None, typer.Option(help="What clients call it. Default: MODEL.")] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="COURSE_API_KEY", help="What clients must send. Default: nothing.")
    ] = None,
    engine: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A setting such as max_num_seqs=32. Repeatable.")
    ] = None,
    max_requests: Annotated[int, typer.Option(help="Unfinished requests; one more is answered 429.")] = 1024,
    max_body: Annotated[int, typer.Option(help="Bytes of a request; a longer one is answered 413.")] = 4_194_304,
):
    """Serve a model to OpenAI clients, until Ctrl-C: running answers end first, a second Ctrl-C ends at once."""
    from .engine.settings import read_engine_config

    try:
        from .serving.run import run
    except ImportError as error:
        print(f"{error}. The server needs more packages: pip install 'llm-inference-course[serve]'.", file=sys.stderr)
        raise typer.Exit(2) from None
    try:
        config = read_engine_config(engine or ())
        run(model, config, served_model_name, host, port, api_key=api_key, most_requests=max_requests,
            most_bytes=max_body)  # fmt: skip
    except CourseError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None


@app.command(rich_help_panel="Write the course")
def build(
    names: Names = None,
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
    if problems := authoring.check(root, names or ()):
        print("\n".join(problems), file=sys.stderr)
        raise typer.Exit(1)
    print("Every notebook is what its source makes.")


@app.command(rich_help_panel="Write the course")
def site(out: Annotated[str, typer.Argument(metavar="[OUT]", help="The folder, made anew.")] = "site"):
    """Make a site of the lessons, with live views, and of the API. A browser opens it without Python."""
    from .checkout import find_root

    try:
        from .site import build_site
    except ImportError as error:
        print(f"{error}. The site needs more packages: pip install 'llm-inference-course[site]'.", file=sys.stderr)
        raise typer.Exit(2) from None
    build_site(find_root(), out)


@app.command(rich_help_panel="Teach")
def release(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="The course folder; made where there is none.")],
    names: Names = None,
):
    """Make an nbgrader course folder from lessons. What you change in it is kept."""
    from .checkout import find_root
    from .teaching.release import release

    release(find_root(), folder, names or ())
    print(f"The commands to grade with are in {folder.rstrip('/')}/README.md.")


def main():
    """Entry point. A CourseError becomes one message on stderr, with exit code 2 where an argument cannot be used, else
    1; wrong usage becomes one line and code 2."""
    from .machine import plain_characters  # noqa: F401  errors="course"

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="course")
    try:
        code = app(standalone_mode=False)
    except UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            sys.exit(error.exit_code)
        where = error.ctx.command_path if error.ctx else "course"
        message = " ".join(error.format_message().split()).rstrip(".")
        print(f"{message}. See `{where} --help`.", file=sys.stderr)
        sys.exit(error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except CourseError as error:
        print(error, file=sys.stderr)
        sys.exit(2 if isinstance(error, (ParameterError, ModelError)) else 1)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
