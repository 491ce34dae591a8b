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
