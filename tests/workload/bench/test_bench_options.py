"""Bad input to `course bench`: one line, exit code 2, and nothing is written or loaded."""

import math

import pytest
from typer.testing import CliRunner

from course_lib.cli import app
from course_lib.workload import AtOnce, ClosedLoop, Fixed, Gamma, Lengths, Uniform, Workload
from course_lib.workload.bench import BenchOptions
from course_lib.workload.bench.record import command_line

BAD = """
--rate -1 | --rate nan | --rate 2 --users 2 | --rate inf --duration 3 | --users 0 | --think-time 3
--users 2 --think-time -1 | --burstiness 0 | --burstiness 2 --users 2 | --burstiness 2 --rate inf
--lengths no_such | --lengths 3:0 | --lengths 3: | --scale 0 | --lengths 3:4 --scale 2 | --trace no_such.csv
--trace no_such.csv --rate 3 | --trace no_such.csv --lengths chat | --num-requests 0 | --duration 0 | --duration nan
--prefix-tokens 0 | --prefix-tokens 8 --prefix-share 3 | --prefix-tokens 8 --num-prefixes 0 | --prefix-share 0.5
--seed -1 | --seed 5000000000 | --goodput ttft | --goodput ttft:-1 | --goodput x:3 | --goodput ttft:1 --goodput ttft:2
--engine num_blocks=1000000000000 | --engine block_size=99999999999999999999 | --engine max_num_seqs=9999999999999
--model= | --output= | --simulate --engine speculation=ngram
--engine x=1 | --engine max_num_seqs | --engine max_num_seqs=0 | --engine policy=x | --engine watermark=NaN
--url localhost | --url ftp://host | --url http://me:key@host | --url http://host:x | --url http://host --simulate
--url http://host --engine block_size=8 | --cost no_such.json | --simulate --cost no_such.json | --vocab-size 9
--url http://host --vocab-size 2 | --context 1 | --model no_such | --output no_such/a.json | --anyway
--compare no_such.json no_such.json | --output taken.json --num-requests 1
--compare taken.json taken.json --rate 3 | --compare deep.json deep.json | --simulate --cost deep.json
--rates 3 | --rates 3,2 | --rates 1,x | --rates 0,1 | --rates 1,inf | --rates 1,2 --rate 3 | --rates 1,2 --users 3
--rates 1,2 --trace no_such.csv | --rates 1,2 --client a:rate=3 | --turns 0 | --turns 3:1 | --turns x | --turns 1:
--turns 2 --trace no_such.csv | --client :rate=2 | --client a:rate | --client a:rate=x | --client a:colour=3
--client a --client a | --client a:rate=2,users=2 | --client a:users=0 | --client a:lengths=no_such
--client a:rate=-1 | --mode no_such | --mode static --mode static | --mode static --simulate
--mode static --url http://host | --batch-size 4 | --mode static --batch-size 0 | --mode static --batch-timeout 1
--mode dynamic --batch-timeout -1 | --mode dynamic --batch-timeout nan | --mode static --engine block_size=8
--output taken.json --rates 1,2 | --output a.png --pictures | --compare taken.json taken.json --rates 1,2
"""


@pytest.mark.parametrize("words", [one.strip() for line in BAD.strip().splitlines() for one in line.split(" | ")])
def test_bad_input_is_one_line_and_code_2(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.json").write_text("taken")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    done = CliRunner().invoke(app, ["bench", *words.split()])
    assert done.exit_code == 2 and done.stdout == "", done.output
    lines = [line for line in done.stderr.splitlines() if line != "Getting ready"]
    assert len(lines) == 1 and lines[0].endswith((".", "?")), done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep.json", "taken.json"]
    assert (tmp_path / "taken.json").read_text() == "taken"


def test_the_defaults_and_each_arrival_process():
    workload = BenchOptions().workload()
    assert isinstance(workload, Workload) and workload.arrivals == Gamma(4.0) and workload.num_requests == 100
    assert BenchOptions(users=3).workload().arrivals == ClosedLoop(3)
    assert BenchOptions(rate=math.inf).workload().arrivals == AtOnce()
    assert BenchOptions(rate=2.0, burstiness=0.5).workload().arrivals == Gamma(2.0, 0.5)


def test_named_lengths_are_scaled_for_small_models_and_not_for_a_server():
    small, large = BenchOptions().workload().lengths, BenchOptions(url="http://host").workload().lengths
    assert (large.prompt.median, small.prompt.median) == (250, 250 / 8)


def test_a_trace_brings_its_own_requests(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("arrival,prompt_tokens,output_tokens\n0,5,6\n1,7,8\n")
    options = BenchOptions(trace=str(path))
    assert options.num_expected == 2 and options.workload().num_requests is None


@pytest.mark.parametrize(
    "url", ["http://host:8000", "http://host:8000/", "http://host:8000/v1", "http://host:8000/v1/"]
)
def test_an_address_may_end_in_v1_or_not(url):
    assert BenchOptions(url=url).base_url() == "http://host:8000/v1"


def test_settings_of_the_engine_have_their_types():
    config = BenchOptions(
        engine=("max_num_seqs=3", "prefix_caching=false", "policy=fair", "async_scheduling=none"), seed=7
    ).engine_config()
    assert (config.max_num_seqs, config.prefix_caching, config.policy) == (3, False, "fair")
    assert config.async_scheduling is None and config.seed == 7


def test_each_client_has_its_own_options_and_the_rest_is_shared():
    options = BenchOptions(
        client=("web:rate=3,lengths=20:5", "night:users=4,priority=2,num_requests=9"), turns="2:3", num_requests=50
    )
    web, night = options.workloads()
    assert (web.client, web.arrivals, web.num_requests, web.priority) == ("web", Gamma(3.0), 50, 0)
    assert (night.client, night.arrivals, night.num_requests, night.priority) == ("night", ClosedLoop(4), 9, 2)
    assert web.lengths == Lengths(Fixed(20), Fixed(5)) and web.conversations.turns == Uniform(2, 3)
    assert options.num_expected is None and BenchOptions(client=("a", "b:num_requests=7")).num_expected == 107


def test_a_series_has_a_run_for_each_mode_and_rate():
    options = BenchOptions(
        mode=("static", "dynamic", "continuous"),
        rates="1,2",
        batch_size=4,
        batch_timeout=0.1,
        engine=("max_num_seqs=4",),
    )
    variants = dict(options.variants())
    assert list(variants) == [f"{mode} {n}/s" for mode in options.mode for n in (1, 2)]
    static, dynamic, continuous = (variants[f"{mode} 2/s"] for mode in options.mode)
    assert (static.rate, static.batch_size, static.batch_timeout, static.engine) == (2.0, 4, None, ())
    assert (dynamic.batch_timeout, continuous.batch_size, continuous.engine) == (0.1, None, ("max_num_seqs=4",))
    assert [one.kind for one in (static, dynamic, continuous)] == ["static", "dynamic", "engine"]
    assert BenchOptions().variants() == [("", BenchOptions())]


def test_the_command_in_the_record_is_the_one_that_was_given():
    options = BenchOptions(simulate=True, users=2, think_time=0.5, goodput=("ttft:3", "e2el:9"), num_requests=7)
    words = (
        "course bench --simulate --users 2 --think-time 0.5 --num-requests 7 --seed 0 --goodput ttft:3 --goodput e2el:9"
    )
    assert command_line(options) == words
    assert command_line(BenchOptions(lengths="2:3", client=("a b:rate=2.0",))).endswith(
        "--client 'a b:rate=2.0' --seed 0"
    )
