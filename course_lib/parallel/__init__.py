"""One model over several processes: which rank holds what, how they add and gather, how they start and end.

Names arrive on first use.
"""

from course_lib.lazy import lazily

__all__, __getattr__, __dir__ = lazily(
    __name__,
    {
        "group": "Group",
        "load": "FolderWeights RandomWeights load_sharded",
        "ranks": "Ranks is_torchrun",
        "shards": "Shard",
    },
)
