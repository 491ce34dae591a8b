"""Bad input to `course bench`: one line, exit code 2, and nothing is written or loaded."""

import math

import pytest
from typer.testing import CliRunner

from course_lib.cli import app
from course_lib.workload import AtOnce, ClosedLoop, Gamma, Workload
from course_lib.workload.bench import BenchOptions
from course_lib.workload.bench.record import command_line

BAD = """
--rate -1 | --rate nan | --rate 2 --users 2 | --rate inf --duration 3 | --users 0 | --think-time 3
--users 2 --think-time -1 | --burstiness 0 | --burstiness 2 --users 2 | --burstiness 2 --rate inf
--lengths no_such | --lengths 3:0 | --lengths 3: | --scale 0 | --lengths 3:4 --scale 2 | --trace no_such.csv
--trace no_such.csv --rate 3 | --trace no_such.csv --lengths chat | --num-requests 0 | --duration 0 | --duration nan
--prefix-tokens 0 | --prefix-tokens 8 --prefix-share 3 | --prefix-tokens 8 --num-prefixes 0 | --prefix-share 0.5
--seed -1 | --seed 5000000000 | --goodput ttft | --goodput ttft:-1 | --goodput x:3 | --goodput ttft:1 --goodput ttft:2
--engine x=1 | --engine max_num_seqs | --engine max_num_seqs=0 | --engine policy=x | --engine watermark=NaN
--url localhost | --url ftp://host | --url http://me:key@host | --url http://host:x | --url http://host --simulate
--url http://host --engine block_size=8 | --cost no_such.json | --simulate --cost no_such.json | --vocab-size 9
--url http://host --vocab-size 2 | --context 1 | --model no_such | --output no_such/a.json | --anyway
--compare no_such.json no_such.json | --output taken.json --num-requests 1
--compare taken.json taken.json --rate 3
"""


@pytest.mark.parametrize("words", [one.strip() for line in BAD.strip().splitlines() for one in line.split(" | ")])
def test_bad_input_is_one_line_and_code_2(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.json").write_text("taken")
    done = CliRunner().invoke(app, ["bench", *words.split()])
    assert done.exit_code == 2 and done.stdout == "", done.output
    lines = [line for line in done.stderr.splitlines() if line != "Getting ready"]
    assert len(lines) == 1 and lines[0].endswith((".", "?")), done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["taken.json"]
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


def test_the_command_in_the_record_is_the_one_that_was_given():
    options = BenchOptions(simulate=True, users=2, think_time=0.5, goodput=("ttft:3", "e2el:9"), num_requests=7)
    words = (
        "course bench --simulate --users 2 --think-time 0.5 --num-requests 7 --seed 0 --goodput ttft:3 --goodput e2el:9"
    )
    assert command_line(options) == words
