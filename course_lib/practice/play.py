"""What exercise pages and the lines that a check prints import: small models, caches, scripts of requests, servers.

    from course_lib.practice.play import Arrival, replay

Names arrive on first use. A learner's code imports nothing else from inside `course_lib.practice`, so only these
names must stay. Workbooks written with earlier names are read through progress/moved.py.
"""

from course_lib.lazy import lazily

_names, __getattr__, _ = lazily(
    "course_lib.practice",
    {
        # kernels: Triton or a stand-in, and tensors where kernels run
        "fixtures.kernel_language": "tl triton",
        "fixtures.placement": "here",
        # models, caches and tensors small enough to work out by hand
        "fixtures.random_logits": "random_logits",
        "fixtures.ring": "Ring",
        "fixtures.captured_step": "captured_decode_step",
        "fixtures.tiny_model": "TinyModel",
        "fixtures.tiny_sequence": "AddingCache AddingModel NanInEmpty Shape float_types run_layers push storages "
        "tensor_bytes tokens",
        "fixtures.counting_list": "CountingList",
        "fixtures.tiny_attention": "Products Watch qkv",
        "fixtures.tiny_pages": "chunk_step decode_step new_tokens",
        "fixtures.int8_pages": "int8_step",
        "fixtures.tiny_server": "SummingModel paged_cache",
        "lessons.l04.gather_trials": "numbered_pool",
        "lessons.l06.recompute_backward": "saved_by_forward",
        "lessons.l09.intensity": "LLAMA",
        # faults to find, and to look at
        "fixtures.padded_batch": "padded_batch",
        "fixtures.paged_server": "double_free serve_paged",
        "fixtures.cached_server": "assistant conversations serve_together write_samples",
        "fixtures.seeded": "CacheA CacheB CacheC seeded_cache tiny_transformer",
        "fixtures.seeded_ledgers": "LedgerA LedgerB LedgerC LedgerD seeded_ledger",
        # what an exercise begins with
        "fixtures.forkable": "Forkable",
        "fixtures.waiting_list": "WaitingList",
        # what watches an answer
        "lessons.l04.allocation_cost": "allocation_cost",
        "lessons.l04.allocator_damage": "complains damaged",
        "lessons.l05.fork": "Listening",
        "lessons.l05.hash_chain": "numbered",
        "lessons.l05.match_prefix": "Cached",
        "lessons.l05.table_game": "allocator_with_letters write_letters",
        "lessons.l11.fair_share_bound": "spread",
        "lessons.l11.fair_share_game": "admit request_from serve_clients",
        "lessons.l11.preempt_game": "Room scheduler_with_preemption",
        "lessons.l11.swap_engine": "engine_with_swap serve_swapped",
        "lessons.l11.swap_memory": "SwapMemory",
        # scripts of requests, and what serves them
        "judge.replay": "replay",
        "judge.scripts": "Arrival",
        "lessons.l09.dynamic_batcher_game": "serve_batcher",
        "lessons.l10.continuous_loop_game": "serve_loop",
        "lessons.l10.step_game": "scheduler_of_step",
        "lessons.l11.step_choice": "request scheduler_of_choice serve_choice",
        # benchmark reports
        "lessons.l12.reports": "FLAWS bench_report",
        # an engine from its parts, and policies against each other
        "assembly.assemble": "assemble",
        "lessons.l18.assemble_game": "serve_assembled",
        "lessons.l18.contest": "contest",
        "lessons.l18.policy_probe": "pushed",
        # buffers of graphs, and inputs of a norm
        "lessons.l13.fuse_norm_trials": "norm_inputs",
        "lessons.l13.graph_buckets": "Beside",
        "fixtures.decode_steps": "CountedAttention CountedKernels best_seconds one_decode_step served_prompts",
        "fixtures.token_cache": "SumModel TokenCache",
        "lessons.l15.verify_step": "draft_tokens",
        "lessons.l16.cancel_between": "connect_between_lines",
        "lessons.l16.cancel_game": "serve_in_turns",
        "lessons.l16.own_server": "own_server",
        "lessons.l13.graph_game": "graph_outputs graph_steps made_step write_in_graphs",
    },
)
__all__ = sorted(_names)


def __dir__():
    return __all__
