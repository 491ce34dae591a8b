"""For every kind of vocabulary: what is handed out is a beginning of the decode in one piece, at a cost that does not
grow.
"""

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vocabularies import PART, VOCABULARIES

from course_lib.engine.outputs import Detokenizer
from course_lib.engine.text import Text

SETTINGS = settings(max_examples=300, deadline=None, derandomize=True, database=None)
BYTES = [name for name in VOCABULARIES if name.startswith("byte")]


def is_byte(tokenizer, token_id):
    piece = tokenizer.backend.id_to_token(token_id)
    return len(piece) == 6 and piece.startswith("<0x")


def expected(tokenizer, prompt, ids):
    """What the whole decodes to, without what of it is the prompt's."""
    whole, before = tokenizer.decode([*prompt, *ids]), tokenizer.decode(prompt)
    if "ByteFallback" not in tokenizer.decoder_parts:
        if not whole.startswith(before):  # the last character of the prompt was cut, and became whole
            assert before.endswith(PART)
            before = before[:-1]
        return whole.removeprefix(before)
    texts = [i for i in prompt if i not in tokenizer.skipped_ids]
    run = []
    while texts and is_byte(tokenizer, texts[-1]):
        run.append(texts.pop())
    data = bytes(int(tokenizer.backend.id_to_token(i)[3:5], 16) for i in reversed(run))
    cut = next((n for n in range(4) if is_whole(data[: len(data) - n])), None)
    if cut is not None:
        characters = tokenizer.decode([*texts, *reversed(run[cut:])])
        is_cut = cut or not characters  # no characters: a space at the beginning, which the decoder drops
        if whole.startswith(characters) and not (is_cut and whole.startswith(characters + PART)):
            return whole.removeprefix(characters)
    return whole[len(tokenizer.decode(texts)) + len(run) :]  # each byte of the prompt is one U+FFFD


def is_whole(data):
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def streams(name):
    """(prompt, ids): any tokens, and texts as bytes so that there are whole characters too."""
    tokenizer = VOCABULARIES[name]
    any_token = st.integers(0, tokenizer.vocab_size - 1)
    pieces = [any_token.map(lambda i: [i])]
    if name.startswith("byte"):
        of_text = st.sampled_from(["é", "日", "🦊", "日本", "a", " "]).map(lambda text: spelled(tokenizer, text))
        pieces += [of_text, of_text, of_text.map(lambda ids: ids[:-1])]
    tokens = st.lists(st.one_of(pieces), max_size=12).map(lambda parts: sum(parts, []))
    return tokens.flatmap(lambda ids: st.integers(0, len(ids)).map(lambda at: (ids[:at], ids[at:])))


def spelled(tokenizer, text):
    """A text as one token for each byte."""
    from vocabularies import as_pieces

    if "ByteFallback" in tokenizer.decoder_parts:
        return [tokenizer.backend.token_to_id(f"<0x{byte:02X}>") for byte in text.encode()]
    return [tokenizer.backend.token_to_id(piece) for piece in as_pieces(text.encode())]


@pytest.mark.parametrize("name", VOCABULARIES)
def test_every_text_is_a_beginning_of_the_decode_in_one_piece(name):
    tokenizer = VOCABULARIES[name]

    @given(both=streams(name))
    @SETTINGS
    def held(both):
        prompt, ids = both
        text, seen = Text(tokenizer, prompt), [""]
        assert text.so_far() == text.so_far(finished=True) == ""
        for count, token_id in enumerate(ids, 1):
            text.append(token_id)
            seen.append(text.so_far())
            wanted = expected(tokenizer, prompt, ids[:count])
            assert text.so_far(finished=True) == wanted
            assert all(wanted.startswith(earlier) for earlier in seen)

    held()


@pytest.mark.parametrize("name", VOCABULARIES)
def test_a_fork_goes_on_by_itself(name):
    tokenizer = VOCABULARIES[name]

    @given(both=streams(name), other=streams(name))
    @SETTINGS
    def held(both, other):
        (prompt, ids), (more, again) = both, other
        text = Detokenizer(tokenizer, prompt, ["never"])
        for token_id in ids:
            text.append(token_id)
        fork = text.fork()
        for token_id in more:
            fork.append(token_id)
        for token_id in again:
            text.append(token_id)
        assert text.so_far(finished=True) == expected(tokenizer, prompt, ids + again)
        assert fork.so_far(finished=True) == expected(tokenizer, prompt, ids + more)

    held()


@pytest.mark.parametrize("name", VOCABULARIES)
def test_a_stop_string_ends_the_text_at_once_and_nothing_is_taken_back(name):
    tokenizer = VOCABULARIES[name]

    @given(both=streams(name), data=st.data())
    @SETTINGS
    def held(both, data):
        prompt, ids = both
        whole = expected(tokenizer, prompt, ids).replace(PART, "")
        start = data.draw(st.integers(0, len(whole)))
        stop = [whole[start : start + data.draw(st.integers(1, 4))] or "none", "x日", "▁"]
        text, seen = Detokenizer(tokenizer, prompt, stop), [""]
        for count, token_id in enumerate(ids, 1):
            ended = text.append(token_id)
            wanted = expected(tokenizer, prompt, ids[:count])
            found = [at for at in map(wanted.find, stop) if at >= 0]
            assert ended == bool(found)
            wanted = wanted[: min(found)] if found else wanted
            seen.append(text.so_far())
            assert all(wanted.startswith(earlier) for earlier in seen)
            assert text.so_far(finished=True) == wanted
            if ended:
                break

    held()


@pytest.mark.parametrize("name", BYTES)
@pytest.mark.parametrize("text", ["日本", "é 🦊x", "🦊"])
def test_the_character_that_a_prompt_cuts_is_not_lost(name, text):
    tokenizer = VOCABULARIES[name]
    ids, data = spelled(tokenizer, "a" + text), ("a" + text).encode()
    for at in range(1, len(ids)):
        grown = Text(tokenizer, [1, *ids[:at]])
        for token_id in ids[at:]:
            grown.append(token_id)
        assert data[:at].decode(errors="ignore") + grown.so_far(finished=True) == "a" + text


def counting(tokenizer):
    """The same tokenizer, and a list with the number of tokens of each decode."""
    counts, backend = [], tokenizer.backend

    def decode(ids, **how):
        counts.append(len(ids))
        return backend.decode(ids, **how)

    parts = dict(decoder_parts=tokenizer.decoder_parts, skipped_ids=tokenizer.skipped_ids)
    return SimpleNamespace(backend=SimpleNamespace(decode=decode, id_to_token=backend.id_to_token), **parts), counts


@pytest.mark.parametrize("name", VOCABULARIES)
@pytest.mark.parametrize(
    "kind", ["first bytes", "last bytes", "whole characters", "any", "special", "bytes and pieces"]
)
def test_the_cost_of_a_token_does_not_grow(name, kind):
    tokenizer, counts = counting(VOCABULARIES[name])
    real = VOCABULARIES[name]
    if name not in BYTES:
        ids = {"special": [3]}.get(kind, range(4, real.vocab_size))
    else:
        ids = {
            "first bytes": spelled(real, "日")[:1],
            "last bytes": spelled(real, "日")[1:],
            "whole characters": spelled(real, "日"),
            "any": range(4, real.vocab_size),
            "special": [3],
            "bytes and pieces": [*spelled(real, "日")[:2], real.vocab_size - 2],
        }[kind]
    ids = (list(ids) * 3000)[:3000]
    text = Detokenizer(tokenizer, [1, *ids[:50]], ["日日x"])
    for token_id in ids:
        text.append(token_id)
        text.so_far()
    assert sum(counts) < 5 * len(ids) + 200
    assert text.so_far(finished=True) == expected(real, [1, *ids[:50]], ids)


def test_ill_formed_bytes_do_not_wait_for_ever():
    for name in BYTES:
        tokenizer = VOCABULARIES[name]
        text = Text(tokenizer, [1])
        for token_id in spelled(tokenizer, "日")[1:] * 20:
            text.append(token_id)
        assert text.so_far() == PART * 40
