"""`course bench`: its options, as the command line takes them."""

import sys
from typing import Annotated

import typer


def bench(
    simulate: Annotated[bool, typer.Option("--simulate", help="Measure a simulated engine, not a real one.")] = False,
    url: Annotated[str | None, typer.Option(help="Measure the OpenAI-compatible server at this address.")] = None,
    model: Annotated[str | None, typer.Option(help="Default: tale; with --url, the first that it lists.")] = None,
    lengths: Annotated[
        str | None,
        typer.Option(help="chat (default), code_completion, retrieval, batch, PROMPT:OUTPUT in tokens, or a file."),
    ] = None,
    scale: Annotated[
        float | None, typer.Option(help="Multiplies named lengths. Default: 0.125; with --url, 1.")
    ] = None,
    trace: Annotated[str | None, typer.Option(help="A file that says when requests arrive and how long.")] = None,
    rate: Annotated[float | None, typer.Option(help="Requests a second (default: 4), or inf: all at once.")] = None,
    burstiness: Annotated[float | None, typer.Option(help="Below 1: requests in bursts; 1 (default): Poisson.")] = None,
    rates: Annotated[str | None, typer.Option(help="A sweep such as 1,2,4,8: a run for each, and the knee.")] = None,
    users: Annotated[int | None, typer.Option(help="A closed loop of so many users instead of --rate.")] = None,
    think_time: Annotated[
        float | None, typer.Option(help="Mean seconds from an output to the user's next request.")
    ] = None,
    turns: Annotated[str | None, typer.Option(help="Conversations of so many turns, such as 3 or 1:6.")] = None,
    client: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME:KEY=VALUE,...", help="One of several clients: web:rate=3,lengths=chat. Repeatable."),
    ] = None,
    num_requests: Annotated[int | None, typer.Option(help="Default: 100, or what arrives in --duration.")] = None,
    duration: Annotated[float | None, typer.Option(help="Seconds in which requests arrive.")] = None,
    prefix_tokens: Annotated[int | None, typer.Option(help="Length of a prefix that prompts share.")] = None,
    num_prefixes: Annotated[int | None, typer.Option(help="Different prefixes. Default: 1.")] = None,
    prefix_share: Annotated[float | None, typer.Option(help="Share of the requests with a prefix. Default: 1.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed brings the same requests.")] = 0,
    goodput: Annotated[
        list[str] | None, typer.Option(metavar="NAME:MS", help="A target such as ttft:200 (or tpot, e2el). Repeatable.")
    ] = None,
    engine: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A setting such as max_num_seqs=32. Repeatable.")
    ] = None,
    mode: Annotated[
        list[str] | None, typer.Option(help="continuous (default), static or dynamic batching. Repeatable.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Of static and dynamic batches. Default: 8.")] = None,
    batch_timeout: Annotated[
        float | None, typer.Option(help="Seconds after which a dynamic batch starts. Default: 0.05.")
    ] = None,
    cost: Annotated[
        str | None, typer.Option(help="With --simulate: costs from this file. Default: measured here first.")
    ] = None,
    vocab_size: Annotated[int | None, typer.Option(help="With --url: prompts hold ids below. Default: 2560.")] = None,
    context: Annotated[int | None, typer.Option(help="Most tokens of prompt and output together.")] = None,
    output: Annotated[str | None, typer.Option(help="The JSON file. Default: one with the time in its name.")] = None,
    pictures: Annotated[bool, typer.Option("--pictures", help="Save a PNG beside the JSON file too.")] = False,
    compare: Annotated[
        tuple[str, str] | None, typer.Option(metavar="A.json B.json", help="Measure nothing; say what differs.")
    ] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Compare runs of different machines too.")] = False,
):
    """Measure the engine, a simulated one or a server under a workload; or compare two such measurements."""
    given = dict(locals())
    lists = ("goodput", "engine", "client", "mode")
    from course_lib.errors import ModelError, ParameterError

    from . import BenchOptions, compare_files, run_bench

    try:
        for name in ("output", "pictures", "compare", "anyway"):
            del given[name]
        if output is not None and not output.strip():
            raise ParameterError("--output is empty. Leave it out, or name a file.")
        options = BenchOptions(**given | {name: tuple(given[name] or ()) for name in lists})
        if compare is None and not anyway:
            raise typer.Exit(run_bench(options, output, pictures=pictures))
        if compare is None or output is not None or pictures or options != BenchOptions():
            raise ParameterError("--compare A.json B.json goes with --anyway only, and --anyway with --compare only.")
        print(compare_files(*compare, anyway=anyway))
    except (ParameterError, ModelError) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None
