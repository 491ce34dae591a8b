"""The engine on a GPU, kernels compiled, in float32: the tokens that naive decoding gives on the CPU."""

import pytest
import torch

from course_lib import Engine, EngineConfig, SamplingParams, load_model
from course_lib.decoding import generate_naive

NO_GPU = (
    "no GPU here; the same kernels run interpreted in tests/attention, the same engine without them in test_engine_fuzz"
)


@pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)
@pytest.mark.parametrize(
    "settings",
    [
        dict(),
        dict(block_size=8, max_num_batched_tokens=24, num_blocks=60),
        dict(block_size=32, preemption="swap", num_blocks=16),
    ],
    ids=["usual", "chunks", "swap"],
)
def test_requests_on_a_gpu_get_the_tokens_of_naive_decoding_on_a_cpu(settings):
    on_cpu, tokenizer = load_model("tale", device="cpu", dtype=torch.float32)
    on_gpu, _ = load_model("tale", device="cuda", dtype=torch.float32)
    tale = tokenizer.encode("Once upon a time there lived in a quiet village a brave hare")
    prompts = [
        tale,
        tale[:5],
        tale + tale[3:9],
        *(tokenizer.encode(f"{word} upon") for word in ("Once", "Long", "Far", "In", "The", "A")),
    ]
    params = [SamplingParams(max_tokens=20 + 12 * i, ignore_eos=True) for i in range(len(prompts))]
    engine = Engine(on_gpu, EngineConfig(max_num_seqs=6, **settings))
    outputs = engine.generate(prompts, params)
    engine.check_integrity()
    for prompt, wanted, output in zip(prompts, params, outputs):
        assert output.token_ids == generate_naive(on_cpu, prompt, wanted)
