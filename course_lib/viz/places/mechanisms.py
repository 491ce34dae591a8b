"""Each mechanism of an engine: the exercise that built it, and its place in course_lib, vLLM and SGLang.

Files, names and lines are those of the releases named here, read in their sources. A test holds those of course_lib.
"""

VERSIONS = {"vLLM": "0.24.0, commit ee0da84ab", "SGLang": "0.5.23"}
ROOTS = {
    "vLLM": "https://github.com/vllm-project/vllm/blob/v0.24.0/vllm/v1/",
    "SGLang": "https://github.com/sgl-project/sglang/blob/v0.5.23/python/sglang/srt/",
}


def _one(title, exercise, ours, vllm, sglang, says):
    return {
        "title": title, "exercise": exercise, "course": ours, "vLLM": vllm, "SGLang": sglang, "says": says,
    }  # fmt: skip


MECHANISMS = [
    _one(
        "The loop",
        "18.assemble",
        ("engine/engine.py", "Engine.step"),
        ("engine/core.py", "EngineCore.step", 479),
        ("managers/scheduler.py", "Scheduler.event_loop_normal", 2026),
        "Schedule, run the model, update. In vLLM it is in a process of its own, behind sockets.",
    ),
    _one(
        "Who runs in this step",
        "11.chunked_prefill",
        ("engine/scheduler.py", "Scheduler.schedule"),
        ("core/sched/scheduler.py", "Scheduler.schedule", 388),
        ("managers/scheduler.py", "Scheduler.get_next_batch_to_run", 3894),
        "vLLM mixes prompts and decodes under one budget, as here. SGLang runs a batch of prompts if there is one, and "
        "else a batch of decodes; mixed chunks are an option.",
    ),
    _one(
        "Who is next",
        "18.your_policy",
        ("engine/policies.py", "Policy"),
        ("core/sched/request_queue.py", "RequestQueue", 20),
        ("managers/schedule_policy.py", "SchedulePolicy.calc_priority", 213),
        "vLLM has fcfs and priority. SGLang sorts its queue: lpm (longest cached prefix first), hrrn, fcfs and others; "
        "fair shares are in neither.",
    ),
    _one(
        "Preemption",
        "11.preempt",
        ("engine/scheduler.py", "Scheduler._preempt"),
        ("core/sched/scheduler.py", "Scheduler._preempt_request", 1107),
        ("managers/schedule_batch.py", "ScheduleBatch.retract_decode", 3451),
        "All three free the blocks and compute again. vLLM takes the last admitted or the least important; SGLang the "
        "one with the fewest output tokens.",
    ),
    _one(
        "Blocks for new tokens",
        "04.block_table",
        ("kvcache/manager.py", "KVCacheManager.allocate_slots"),
        ("core/kv_cache_manager.py", "KVCacheManager.allocate_slots", 244),
        ("managers/schedule_policy.py", "PrefillAdder.add_one_req", 1395),
        "None, or no admission, means no room. SGLang reserves for a part of the answers that may come, and corrects "
        "that ratio when it has to retract.",
    ),
    _one(
        "The free list",
        "04.allocator",
        ("kvcache/allocator.py", "BlockAllocator"),
        ("core/block_pool.py", "BlockPool.get_new_blocks", 542),
        ("mem_cache/allocator/paged.py", "PagedTokenToKVPoolAllocator", 136),
        "vLLM's is a linked list, so that a block can leave from the middle. SGLang gives out slots, in pages.",
    ),
    _one(
        "Shared prefixes",
        "05.match_prefix",
        ("kvcache/prefix.py", "PrefixCache"),
        ("core/kv_cache_manager.py", "KVCacheManager.get_computed_blocks", 202),
        ("mem_cache/radix_cache.py", "RadixCache.match_prefix", 364),
        "A chain of hashes of full blocks here and in vLLM; a radix tree of tokens in SGLang.",
    ),
    _one(
        "Eviction",
        "05.evict_lru",
        ("kvcache/prefix.py", "PrefixCache"),
        ("core/block_pool.py", "BlockPool.free_blocks", 614),
        ("mem_cache/radix_cache.py", "RadixCache.evict", 552),
        "The order of vLLM's free queue is the order of eviction. SGLang evicts leaves, the least recently used first.",
    ),
    _one(
        "The flat batch",
        "10.pack",
        ("engine/batch.py", "SequenceRows"),
        ("worker/gpu_model_runner.py", "GPUModelRunner._prepare_inputs", 1889),
        ("managers/schedule_batch.py", "ScheduleBatch.prepare_for_extend", 2847),
        "Token ids, positions, slots and lengths as arrays. vLLM keeps rows of running requests from step to step.",
    ),
    _one(
        "Slots",
        "04.slot_mapping",
        ("kvcache/block_table.py", "BlockTable"),
        ("worker/block_table.py", "BlockTable.compute_slot_mapping", 141),
        ("mem_cache/memory_pool.py", "ReqToTokenPool", 376),
        "block * block_size + offset here and in vLLM. SGLang keeps the slot of every token in a table.",
    ),
    _one(
        "Attention over pages",
        "08.paged_prefill",
        ("attention/kernels/paged.py", "paged_attention"),
        ("attention/ops/triton_unified_attention.py", "kernel_unified_attention", 179),
        ("layers/attention/triton_backend.py", "TritonAttnBackend", 150),
        "vLLM's Triton backend has one kernel for prompts and decodes. FlashAttention and FlashInfer are other "
        "backends of both engines.",
    ),
    _one(
        "The next token",
        "01.sample",
        ("decoding/choosing.py", "choose"),
        ("sample/sampler.py", "Sampler.sample", 243),
        ("layers/sampler.py", "Sampler", 116),
        "Temperature, top-k, top-p for a whole batch at once, each row with its own parameters.",
    ),
    _one(
        "Drafts",
        "15.rejection_sample",
        ("engine/drafting.py", "SpeculativeRunner.check"),
        ("sample/rejection_sampler.py", "RejectionSampler", 37),
        ("speculative/ngram_worker.py", "NGRAMWorker", 76),
        "Drafts are tokens with slots; those that are rejected are taken back.",
    ),
    _one(
        "Graphs of a step",
        "13.graph_buckets",
        ("engine/graphs.py", "DecodeGraphs"),
        ("cudagraph_dispatcher.py", "CudagraphDispatcher", 15),
        ("model_executor/runner/decode_cuda_graph_runner.py", "DecodeCudaGraphRunner", 251),
        "A step is padded to the next captured size. The next step is scheduled meanwhile: vLLM's AsyncScheduler "
        "(core/sched/async_scheduler.py), SGLang's event_loop_overlap.",
    ),
    _one(
        "Text",
        "10.stop_conditions",
        ("engine/outputs.py", "Detokenizer"),
        ("engine/detokenizer.py", "IncrementalDetokenizer", 30),
        ("managers/detokenizer_manager.py", "DetokenizerManager", 104),
        "Outside of the loop: in vLLM in the front end's process, in SGLang in a process of its own.",
    ),
]
