"""How many blocks an engine makes where the configuration does not say."""

from types import SimpleNamespace

import pytest
import torch
from summing import Summing

from course_lib.engine import Engine, EngineConfig, memory
from course_lib.kvcache.sizes import kv_bytes_per_token

MODEL = Summing(context=96)


def test_a_small_model_gets_blocks_for_all_sequences_at_full_length():
    engine = Engine(MODEL, EngineConfig(block_size=16, max_num_seqs=5))
    assert engine.allocator.num_blocks == 5 * 6 and engine.pool.num_blocks == 5 * 6


@pytest.mark.parametrize("share, used, blocks", [(0.9, 500, 400), (0.5, 500, 1), (0.6, 100, 500), (1.0, 0, 1000)])
def test_on_a_gpu_the_blocks_fill_the_share_of_its_memory_that_is_not_in_use(share, used, blocks, monkeypatch):
    config = EngineConfig(block_size=16, max_num_seqs=1000, gpu_memory_utilization=share)
    block = 16 * kv_bytes_per_token(MODEL.config, torch.bfloat16)
    gpu = SimpleNamespace(config=MODEL.config, device=torch.device("cuda"), dtype=torch.bfloat16)
    monkeypatch.setattr(memory, "bytes_of_largest_step", lambda model, config: 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: ((1000 - used) * block, 1000 * block))
    assert memory.default_num_blocks(gpu, config) == pytest.approx(blocks, abs=1)


def test_on_a_cpu_the_cache_takes_no_more_than_the_weights_or_a_small_sum(monkeypatch):
    """A quarter of the free memory would be gigabytes for a model of half a gigabyte."""
    config, block = EngineConfig(block_size=16, max_num_seqs=1000), 16 * kv_bytes_per_token(MODEL.config, torch.float32)
    monkeypatch.setattr(memory, "_machine_memory", lambda: (4000 * block, 8000 * block))
    for weights, enough, blocks in ((50, 200, 200), (300, 200, 300), (5000, 200, 1000)):
        monkeypatch.setattr(memory, "CPU_ENOUGH", enough * block)
        monkeypatch.setattr(memory, "weight_bytes", lambda shape, dtype, weights=weights: weights * block)
        assert memory.default_num_blocks(MODEL, config) == blocks
        engine = Engine(MODEL, config)
        assert engine.pool.num_bytes == engine.pool.num_blocks * block == blocks * block
