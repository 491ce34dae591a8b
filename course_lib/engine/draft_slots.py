"""The scheduler's part of speculation: slots for drafted tokens, and which of them come back.

tokens          | computed            | newest | d1  d2  d3 |     slots are allocated for all four
accepted        |                              | d1 |             d1 and one token more: the slots of d2 and d3 are
next step       |                              |    | newest |    taken back, block by block
"""


class DraftSlots:
    """Gives drafts what budget and memory leave, and settles them. Drafts never preempt a request."""

    def __init__(self, speculation, manager, trace=None):
        self.speculation, self.manager, self.trace = speculation, manager, trace

    def allocate(self, request, budget):
        """The drafts of a sequence that decodes, with slots for its newest token and for them; [] where there are none.

        budget: tokens that may be computed for it in this step.
        """
        num_tokens = len(request.token_ids)
        if request.num_computed_tokens + 1 != num_tokens or request.num_sequences > 1:
            return []
        room = min(budget, request.max_tokens - num_tokens) - 1
        drafts = self.speculation.draft(request, room) if room > 0 else []
        if drafts and self.manager.allocate_slots(request, 1 + len(drafts), num_pending=len(drafts)) is None:
            return []
        return drafts

    def settle(self, request, sequence, chosen):
        """The drafts of a ScheduledSequence were checked. chosen: those that are accepted and one token more. The
        request grows by them, up to its end. Returns the tokens that it grew by.

        A draft model has not computed the last drafted token itself. Where that was accepted it is one token behind, so
        this one is neither found by others nor swapped out yet.
        """
        kept = []
        for token_id in chosen:
            request.append(token_id)
            kept.append(token_id)
            if request.finish_reason is not None:
                break
        request.num_in_flight_tokens -= sequence.num_tokens
        request.num_pending_tokens -= 1
        request.num_computed_tokens += len(kept)
        if len(kept) < sequence.num_tokens:
            self.manager.shrink(request, request.num_computed_tokens)
        request.num_draft_behind = int(self.speculation.is_behind and len(kept) == sequence.num_tokens)
        self.manager.commit(request, request.num_computed_tokens - request.num_draft_behind)
        if self.trace is not None:
            drafted, accepted = sequence.num_drafts, len(kept) - 1
            self.trace.add("speculate", request=request.request_id, drafted=drafted, accepted=accepted)
        return kept
