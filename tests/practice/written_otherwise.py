"""Wrong answers written differently from those in the lessons: the diagnosis compares what they do.

CASES: {exercise id: [(part of the mistake's name, wrong answer)]}. None in place of a name means that
the answer makes no known mistake, and that the check must not name one.
"""

from written_allocator import CASES as ALLOCATOR
from written_bandwidth_use import CASES as BANDWIDTH_USE
from written_block_table import CASES as BLOCK_TABLE
from written_cache import CASES as CACHE
from written_capstone import CASES as CAPSTONE
from written_chunked_prefill import CASES as CHUNKED_PREFILL
from written_continuous_loop import CASES as CONTINUOUS_LOOP
from written_count_work import CASES as COUNT_WORK
from written_counter_rng import CASES as COUNTER_RNG
from written_dynamic_batcher import CASES as DYNAMIC_BATCHER
from written_fair_share import CASES as FAIR_SHARE
from written_find_the_bug import CASES as FIND_THE_BUG
from written_flash import CASES as FLASH
from written_fresh_00_to_03 import CASES as FRESH_00_TO_03
from written_fresh_00_to_07 import CASES as FRESH_00_TO_07
from written_fresh_04_05 import CASES as FRESH_04_05
from written_fresh_09_to_15 import CASES as FRESH_09_TO_15
from written_fresh_09_to_18 import CASES as FRESH_09_TO_18
from written_fuse_norm import CASES as FUSE_NORM
from written_generate import CASES as GENERATE
from written_generate_cached import CASES as GENERATE_CACHED
from written_goodput import CASES as GOODPUT
from written_graph_buckets import CASES as GRAPH_BUCKETS
from written_greedy import CASES as GREEDY
from written_hello import CASES as HELLO
from written_intensity import CASES as INTENSITY
from written_knee import CASES as KNEE
from written_kv_memory import CASES as KV_MEMORY
from written_later_admission import CASES as LATER_ADMISSION
from written_later_ranks import CASES as LATER_RANKS
from written_later_streams import CASES as LATER_STREAMS
from written_metrics import CASES as METRICS
from written_pack import CASES as PACK
from written_paged import CASES as PAGED
from written_pick_tiles import CASES as PICK_TILES
from written_poisson import CASES as POISSON
from written_preempt import CASES as PREEMPT
from written_priority import CASES as PRIORITY
from written_replicas import CASES as REPLICAS
from written_sample import CASES as SAMPLE
from written_serving import CASES as SERVING
from written_several_gpus import CASES as SEVERAL_GPUS
from written_sharing import CASES as SHARING
from written_smaller_caches import CASES as SMALLER_CACHES
from written_speculative import CASES as SPECULATIVE
from written_spot_the_flaw import CASES as SPOT_THE_FLAW
from written_static_waste import CASES as STATIC_WASTE
from written_step import CASES as STEP
from written_stop_conditions import CASES as STOP_CONDITIONS
from written_swap import CASES as SWAP
from written_token_budget import CASES as TOKEN_BUDGET
from written_triton_flash import CASES as TRITON_FLASH
from written_triton_paged import CASES as TRITON_PAGED

CASES = {
    **HELLO,
    **GREEDY,
    **SAMPLE,
    **GENERATE,
    **COUNT_WORK,
    **CACHE,
    **GENERATE_CACHED,
    **FIND_THE_BUG,
    **KV_MEMORY,
    **ALLOCATOR,
    **BLOCK_TABLE,
    **PAGED,
    **FLASH,
    **TRITON_FLASH,
    **TRITON_PAGED,
    **INTENSITY,
    **STATIC_WASTE,
    **DYNAMIC_BATCHER,
    **SHARING,
    **PACK,
    **STOP_CONDITIONS,
    **STEP,
    **CONTINUOUS_LOOP,
    **TOKEN_BUDGET,
    **CHUNKED_PREFILL,
    **PRIORITY,
    **FAIR_SHARE,
    **PREEMPT,
    **SWAP,
    **METRICS,
    **POISSON,
    **GOODPUT,
    **KNEE,
    **SPOT_THE_FLAW,
    **BANDWIDTH_USE,
    **GRAPH_BUCKETS,
    **FUSE_NORM,
    **COUNTER_RNG,
    **PICK_TILES,
    **SMALLER_CACHES,
    **SPECULATIVE,
    **SERVING,
    **SEVERAL_GPUS,
    **REPLICAS,
    **CAPSTONE,
}

LATER = LATER_ADMISSION, LATER_RANKS, LATER_STREAMS
for fresh in (FRESH_00_TO_03, FRESH_00_TO_07, FRESH_04_05, FRESH_09_TO_15, FRESH_09_TO_18, *LATER):
    for key, cases in fresh.items():
        CASES[key] = CASES[key] + cases
