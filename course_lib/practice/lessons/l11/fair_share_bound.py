"""For 11.fair_share: how much the service of two clients differs, and the bound of the paper (arXiv 2401.00588)."""

from course_lib.engine import EngineConfig, Scheduler
from course_lib.errors import IntegrityError
from course_lib.kvcache import BlockAllocator, KVCacheManager
from course_lib.practice.judge.exercise import Trial
from course_lib.practice.judge.programs import Seen
from course_lib.practice.judge.scripts import Arrival


def spread(policy, *, max_num_seqs, few, many, steps=150):
    """(largest difference in service over any range of steps, its bound), for two clients that always wait.

    few, many: (prompt, answer) of the requests of A and of B, in tokens. B has about three times as many waiting
    requests as A. A has max_num_seqs + 1: if so many are admitted in one step that all running ones are A's, one
    request still waits, so A is never away.
    """
    config = EngineConfig(max_num_seqs=max_num_seqs, num_blocks=4096, block_size=4, prefix_caching=False, policy=policy)
    scheduler = Scheduler(config, KVCacheManager(BlockAllocator(4096, 4), prefix_caching=False))
    kinds, sent, admitted = {"A": few, "B": many}, {"A": 0, "B": 0}, 0
    service, differences = {"A": 0, "B": 0}, [0]
    for now in range(steps):
        for client, ahead in (("A", max_num_seqs + 1), ("B", 3 * max_num_seqs)):
            while sum(request.client == client for request in scheduler.waiting.waiting) < ahead:
                prompt, answer = kinds[client]
                sent[client] += 1
                scheduler.add(Arrival(f"{client}{sent[client]}", now, prompt, answer, client).request())
                if len(scheduler.waiting.waiting) != sent["A"] + sent["B"] - admitted:
                    raise IntegrityError(
                        "After `push(request)` the request is not in `self.waiting`, so it is never served."
                    )
        step = scheduler.schedule()
        admitted += len(step.admitted)
        for request_id, _ in step.admitted:
            request = scheduler.running[request_id]
            service[request.client] += request.num_prompt_tokens
        scheduler.update(step)
        for request in [scheduler.running[sequence.request_id] for sequence in step.scheduled]:
            if request.num_computed_tokens == request.num_tokens:
                service[request.client] += 2
                request.append(0)
                if request.finish_reason:
                    scheduler.finish(request, request.finish_reason)
        differences.append(service["A"] - service["B"])
    longest_prompt, longest_answer = max(few[0], many[0]), max(few[1], many[1])
    return max(differences) - min(differences), 2 * (longest_prompt + 2 * max_num_seqs * longest_answer)


def within_bound(policy, **setup):
    found, bound = spread(policy, **setup)
    return Seen("within the bound" if found <= bound else "beyond the bound", f"({found}, {bound})")


def bound_trial(**setup):
    told = ", ".join(f"{name}={value}" for name, value in setup.items())
    return Trial(
        ["from course_lib.practice.play import spread", f"spread(FairShare, {told})"],
        lambda answer: within_bound(answer, **setup),
        limit_s=10.0,
    )


BOUNDS = [
    bound_trial(max_num_seqs=n, few=few, many=many)
    for n, few, many in ((1, (3, 2), (9, 5)), (2, (9, 2), (2, 2)), (4, (2, 8), (12, 1)))
]
