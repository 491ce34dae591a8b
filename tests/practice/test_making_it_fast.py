"""Lesson 13: the count of bytes, what padding does, and where chance is judged."""

import pytest
import torch
from written_fuse_norm import slipped
from written_graph_buckets import Buffers

from course_lib.attention.tiles import SHARED_MEMORY
from course_lib.decoding.choosing import ChoiceRows, choose
from course_lib.engine.graphs import batch_sizes
from course_lib.errors import CourseError
from course_lib.models import ModelConfig, Transformer
from course_lib.practice.check import judge
from course_lib.practice.judge import registry, rungs
from course_lib.practice.lessons.l13.bandwidth_use import QWEN3, bandwidth_use
from course_lib.practice.lessons.l13.counter_rng_trials import shares
from course_lib.practice.lessons.l13.finding import compared
from course_lib.practice.lessons.l13.graph_game import graph_outputs, made_step, write_in_graphs
from course_lib.practice.lessons.l13.pick_tiles import pick_tiles
from course_lib.practice.lessons.l13.solutions.graph_buckets import GraphBuffers


def test_the_count_of_bytes_is_that_of_a_model():
    config = ModelConfig(**QWEN3)
    found = bandwidth_use(config, [843] * 64, 2, 2, 1, 1)
    assert found["weights"] == 2 * config.num_parameters and found["cache"] == 64 * 843 * 114_688
    small = ModelConfig(11, 8, 12, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=4)
    model = Transformer(small)
    others = sum(w.numel() for name, w in model.named_parameters() if "embed_tokens" not in name)
    assert bandwidth_use(small, [1, 1, 1], 4, 4, 1, 1)["weights"] == 4 * (others + 3 * 8)


@pytest.mark.parametrize("most", [1, 2, 3, 8, 20, 64, 256])
def test_the_sizes_are_those_of_the_engine(most):
    assert GraphBuffers(most, 2).sizes == batch_sizes(most)


def test_a_row_of_padding_that_reads_makes_nan_in_a_pool_that_holds_nan():
    class Reads(Buffers):
        def pad(self, n, size):
            self.slots[n:size], self.seq_lens[n:size] = -1, 1

    steps = [made_step([(11, [5], 1), (22, [7, 3], 4), (33, [2], 2)])]
    [(out, written)] = graph_outputs(Reads(4, 2), steps)
    assert out[:3].isfinite().all() and out[3].isnan().all() and written == [4 + 1, 7, 10]
    [(out, written)] = graph_outputs(GraphBuffers(4, 2), steps)
    assert out.isfinite().all() and written == [5, 7, 10]


def test_two_programs_that_store_one_number_are_told():
    pytest.importorskip("triton", reason="Triton has packages for Linux only")
    if rungs.machine().triton != "interpreted":
        pytest.skip("a compiled kernel's stores are not recorded in every case")
    stored = "summed_ptr + row * size + at, total.to(summed_ptr.dtype.element_ty), mask="
    answer = slipped((f"{stored}inside", f"{stored}row * size + at < tl.num_programs(0) * size"))
    failure = judge(registry.find("13.fuse_norm"), answer).failure
    assert failure.prop.title.startswith("Rung 2") and "both store summed" in failure.counterexample.got


def test_a_token_that_does_not_exist_is_told():
    class Below(Buffers):
        def pad(self, n, size):
            super().pad(n, size)
            self.token_ids[n:size] = -1

    with pytest.raises(CourseError, match="token or a position that the model does not have"):
        graph_outputs(Below(4, 2), [made_step([(11, [5], 1)] * 3)])


def test_sequences_in_graphs_get_the_tokens_that_they_get_alone():
    torch.manual_seed(0)
    config = ModelConfig(
        vocab_size=30, hidden_size=16, intermediate_size=24, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=4
    )
    model = Transformer(config).eval()
    prompts, many = [[1, 2, 3], [7], [9, 8, 4, 2, 1], [5, 5], [6]], [6, 9, 2, 5, 1]
    with torch.inference_mode():
        together, sizes = write_in_graphs(model, prompts, many, GraphBuffers(6, 8))
        alone = [write_in_graphs(model, [p], [n], GraphBuffers(1, 8))[0][0] for p, n in zip(prompts, many)]
        with pytest.raises(CourseError, match="Make GraphBuffers larger"):
            write_in_graphs(model, prompts, many, GraphBuffers(4, 8))
    assert together == alone and set(sizes) <= {1, 2, 4, 6}


def test_the_engines_own_choice_is_a_right_answer():
    def engine(logits, seeds, positions):
        rows = [torch.full((len(logits),), value) for value in (1.0, 0, 1.0, 0.0)]
        return choose(logits, ChoiceRows(*rows, seeds, positions, is_filtered=False))

    result = judge(registry.find("13.counter_rng"), engine)
    assert result, str(result)


def test_chance_alone_does_not_fail_a_right_answer():
    """50 generators that are right by construction, each in a trial of many draws."""
    trial = shares([0.0, -0.7, -1.4, -1.4])
    for seed in range(50):
        generator = torch.Generator().manual_seed(seed)

        def draws(logits, seeds, positions, generator=generator):
            return torch.multinomial(logits.double().softmax(-1), 1, generator=generator)[:, 0]

        assert trial.act(draws).fits


def test_a_token_that_cannot_be_drawn_fails_and_a_tenth_too_much_too():
    assert not compared([999, 1], [1.0, 0.0]).fits and compared([1000, 0], [1.0, 0.0]).fits
    assert compared([1010, 990], [0.5, 0.5]).fits and not compared([1200, 800], [0.5, 0.5]).fits


@pytest.mark.parametrize("chip", SHARED_MEMORY)
@pytest.mark.parametrize("head_dim", [64, 80, 128, 256])
def test_tiles_fit_and_larger_ones_do_not(chip, head_dim):
    width, limit = 1 << (head_dim - 1).bit_length(), SHARED_MEMORY[chip]
    m, n = pick_tiles(head_dim, 2, limit, 1, [10_000], 8)
    assert (m + 4 * n) * width * 2 <= limit
    assert m == 128 or (2 * m + 4 * 16) * width * 2 > limit
    assert n == 128 or (m + 4 * 2 * n) * width * 2 > limit
