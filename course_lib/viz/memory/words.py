"""A step of memory in words, from what a Memory took last."""

from course_lib.viz.kit.format import count, joined, quoted, request_name, these

TOLD = 4  # so many sentences for a step; more events are counted
HOLDERS = 3  # so many holders of a block are named


def step_words(memory, texts):
    """The step in words, [kind, text] pieces: tables before blocks; what requests do alike is one sentence.

    texts: {request: the text of each of its tokens}.
    """
    events = [_event(memory.block_size, texts, *one) for one in memory.happened]
    by_kind = {}
    for kind, who, _ in events:
        by_kind.setdefault(kind, []).append(who)
    tables = set(by_kind) - {"block"}
    appended = by_kind.get("append", [])
    said = [
        words
        for kind, _, words in events
        if words and not (tables and kind == "block") and not (kind == "append" and len(appended) > 1)
    ]
    if len(appended) > 1:
        rest = f" and {len(appended) - 6} more" if len(appended) > 6 else ""
        said.insert(0, [["", ", ".join(map(request_name, appended[:6])) + rest + " write one token each."]])
    if "cache" in by_kind:
        said.append([["", _cached(by_kind["cache"])]])
    said = said or [[["", "Memory is empty."]]]
    if len(said) > TOLD:
        said[TOLD - 1 :] = [[["", f"And {count(len(said) - TOLD + 1, 'event')} more."]]]
    return joined(said + _faults(memory))


def words_beside_schedule(memory):
    """Sentences for what a schedule does not tell: the first copy, what was evicted, and what cannot be right."""
    copies = [_copy(request_name(one), **facts) for event, one, facts in memory.happened if event == "copy"]
    evicted = [block for event, _, facts in memory.happened if event == "evict" for block in facts["blocks"]]
    return copies[:1] + ([_evict("", evicted)] if evicted else []) + _faults(memory)


def _faults(memory):
    """Sentences for what cannot be right among the blocks that the step touched, the first three."""
    found = []
    for block in sorted(filter(memory.is_wrong, memory.touched)):
        held, number = memory.held[block], memory.ref[block]
        if block in memory.twice:
            found.append(f"Block {block} was allocated while it was in use.")
        elif number < 0:
            found.append(f"Block {block} was freed once too often.")
        else:
            found.append(f"Block {block} is in {count(held, 'table')}, but its reference count is {number}.")
    return [[["strong", fault]] for fault in found[:3]]


def _event(block_size, texts, event, request, facts):
    """(kind, request, words) of one thing that happened; of a "cache" its block and no words."""
    who = request_name(request)
    if event == "append" and facts["count"] == 1:
        return event, request, _one_token(block_size, texts.get(request, []), who, facts)
    if event == "append":
        return "append many", request, _many_tokens(who, facts)
    if event == "cache":
        return event, facts["block"], []
    if event in ("allocate", "share", "free"):
        return "block", None, _blocks(event, facts)
    say = {"hit": _hit, "fork": _fork, "copy": _copy, "slide": _slide, "shrink": _shrink, "end": _end, "evict": _evict}
    return event, request, say.get(event, _out_of_memory)(who, **facts)


def _one_token(block_size, text, who, facts):
    first, block = facts["first"], facts["block"]
    token = f" {quoted(text[first])}" if first < len(text) else ""
    place = "no block" if block is None else f"block {block}, slot {first % block_size}"
    return [["strong", f"{who} writes one token"], ["", f"{token} into {place}{' (new)' if facts['blocks'] else ''}."]]


def _many_tokens(who, facts):
    blocks = these(facts["blocks"]) if facts["blocks"] else ""
    where = f", with {blocks} new in its table" if facts["extends"] else f" in {blocks}"
    return [["strong", f"{who} writes {count(facts['count'], 'token')}"], ["", f"{where if blocks else ''}."]]


def _hit(who, blocks, num_tokens):
    verb, need = "is" if len(blocks) == 1 else "are", "needs" if num_tokens == 1 else "need"
    return [
        ["strong", f"{who} hits the prefix cache:"],
        ["", f" {these(blocks)} {verb} reused, {count(num_tokens, 'token')} {need} no computing."],
    ]


def _fork(who, parent, blocks):
    return [["strong", f"{who} is forked from {request_name(parent)}"], ["", f" and shares its {these(blocks)}."]]


def _copy(who, source, destination, holders, ref):
    named = " and ".join(map(request_name, holders[:HOLDERS]))
    why = f"belongs to {named} too" if holders else "stays in the prefix cache"
    return [
        ["strong", f"{who} writes into a shared block."],
        ["", f" Block {source} {why}, so {who} gets a copy: "],
        ["code", f"block {destination}"],
        ["", f". Reference count of {source}: {ref + 1} → {ref}."],
    ]


def _slide(who, fate):
    return [["strong", f"The window of {who} moves on"], ["", f". {_fate(fate)}"]]


def _shrink(who, num_tokens, blocks):
    freed = f" and gives up {these(blocks)}." if blocks else "."
    return [["strong", f"{who} shrinks to {count(num_tokens, 'token')}"], ["", freed]]


def _end(who, fate):
    return [["strong", f"{who} ends"], ["", f". {_fate(fate)}"]]


def _evict(_, blocks):
    return [
        ["strong", f"{these(blocks).capitalize()} {'is' if len(blocks) == 1 else 'are'} evicted"],
        ["", " from the cache, to make room."],
    ]


def _out_of_memory(_, wanted, free):
    verb = "is" if wanted == 1 else "are"
    return [
        ["strong", "Out of memory."],
        ["", f" {count(wanted, 'block')} {verb} wanted, {free:,} can be had. Nothing is taken."],
    ]


def _blocks(event, facts):
    """Block events, for a trace without tables."""
    if event == "free":
        return [["", _fate(facts["fate"])]]
    blocks = facts["blocks"]
    verbs = {
        "allocate": ("is allocated", "are allocated"),
        "share": ("gets one reference more", "get one reference more"),
    }
    return [["strong", these(blocks).capitalize()], ["", f" {verbs[event][len(blocks) != 1]}."]]


def _cached(blocks):
    one = " is full and computed: it is hashed, so that other requests can find it."
    many = " are full and computed: they are hashed, so that other requests can find them."
    return these(blocks).capitalize() + (one if len(blocks) == 1 else many)


def _fate(fate):
    """What becomes of blocks that a table gave up."""
    verbs = {
        "free": ("is free", "are free"),
        "cached": ("stays cached", "stay cached"),
        "in use": ("is still in use", "are still in use"),
    }
    parts = [f"{these(blocks)} {verbs[state][len(blocks) != 1]}" for state, blocks in fate.items() if blocks]
    return "; ".join(parts).capitalize() + "." if parts else "It held no block."
