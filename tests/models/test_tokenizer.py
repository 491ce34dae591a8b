"""Text to ids and back; the start token as transformers puts it."""

import json

import pytest
import transformers
from checkpoints import byte_level_tokenizer
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers

from course_lib.errors import ModelError, ParameterError
from course_lib.models import Tokenizer, load_tokenizer


def folder_with(path, backend, **settings):
    backend.save(str(path / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", **settings}
    (path / "tokenizer_config.json").write_text(json.dumps(settings))
    return path


def sentencepiece_like():
    """Llama 2's kind: "▁" for a space, one in front of the text, and bytes as "<0x0A>"."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), "▁", "A", "d", "a", "▁A", "da", "▁Ada"]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    merges = [("▁", "A"), ("d", "a"), ("▁A", "da")]
    backend = Backend(models.BPE(vocab, merges, byte_fallback=True, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first")
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.add_special_tokens(["<unk>", "<s>", "</s>"])
    return backend


TOKENIZER = Tokenizer(byte_level_tokenizer(), "<s>", "</s>")
OF_SENTENCEPIECE = Tokenizer(sentencepiece_like(), "<s>", "</s>")
ADA = TOKENIZER.backend.token_to_id("ĠAda")


def test_literal_ids():
    assert TOKENIZER.bos_token_id == 1 and TOKENIZER.eos_token_id == 2
    assert TOKENIZER.vocab_size == len(TOKENIZER) == 262
    assert TOKENIZER.special_ids == {0, 1, 2}
    assert TOKENIZER.encode(" Ada") == [1, ADA]
    assert TOKENIZER.encode(" Ada", add_bos=False) == [ADA]
    assert TOKENIZER.encode("") == [1]
    assert TOKENIZER.decode([1, ADA, 2]) == " Ada"
    assert TOKENIZER.decode([1, ADA, 2], skip_special=False) == "<s> Ada</s>"
    assert TOKENIZER.decode([]) == ""
    assert repr(TOKENIZER) == "Tokenizer(262 tokens, start '<s>'=1, end '</s>'=2)"


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_text_comes_back_whole(text):
    if not any(name in text for name in ("<unk>", "<s>", "</s>")):
        assert TOKENIZER.decode(TOKENIZER.encode(text)) == text
        pieces = [TOKENIZER.token_text(i) for i in TOKENIZER.encode(text, add_bos=False)]
        assert text.isascii() is False or "".join(pieces) == text


@pytest.mark.parametrize("tokenizer", [TOKENIZER, OF_SENTENCEPIECE], ids=["byte-level", "sentencepiece"])
def test_a_token_is_shown_as_text(tokenizer):
    assert tokenizer.token_text(1) == "<s>" and tokenizer.token_text(2) == "</s>"
    assert tokenizer.token_text(tokenizer.encode(" Ada", add_bos=False)[-1]) == " Ada"
    assert tokenizer.token_text(tokenizer.encode("\n", add_bos=False)[-1]) == "\n"
    parts = tokenizer.encode("é", add_bos=False)[-2:]  # two bytes, two tokens
    assert [tokenizer.token_text(i) for i in parts] == ["<0xC3>", "<0xA9>"]
    assert tokenizer.decode(parts) == "é"


def test_every_token_shows_as_something():
    for tokenizer in (TOKENIZER, OF_SENTENCEPIECE):
        texts = [tokenizer.token_text(i) for i in range(tokenizer.vocab_size)]
        assert all(texts) and not any("\N{REPLACEMENT CHARACTER}" in t for t in texts)


@pytest.mark.parametrize("template", [True, False], ids=["template adds it", "no template"])
@pytest.mark.parametrize("setting", [True, False, None], ids=["add_bos_token", "not add_bos_token", "unsaid"])
def test_the_start_token_is_put_where_transformers_puts_it(tmp_path, template, setting):
    said = {} if setting is None else {"add_bos_token": setting}
    folder = folder_with(tmp_path, byte_level_tokenizer(bos=template), **said)
    ours, theirs = load_tokenizer(folder), transformers.AutoTokenizer.from_pretrained(folder)
    for text in ("", " Ada", "<s> Ada", "sand"):
        assert ours.encode(text) == theirs(text)["input_ids"], text
        assert ours.encode(text, add_bos=False) == theirs(text, add_special_tokens=False)["input_ids"]
    assert ours.encode("a").count(1) <= 1
    assert (ours.bos_token_id, ours.eos_token_id) == (theirs.bos_token_id, theirs.eos_token_id)


def test_a_model_without_a_start_token_gets_none(tmp_path):
    folder = folder_with(tmp_path, byte_level_tokenizer(bos=False), bos_token=None, add_bos_token=True)
    tokenizer = load_tokenizer(folder)
    assert tokenizer.bos_token_id is None and tokenizer.encode(" Ada") == [ADA]
    assert 1 in tokenizer.special_ids, "still special in tokenizer.json"


def test_special_tokens_may_be_objects_or_stand_in_their_own_file(tmp_path):
    folder = folder_with(tmp_path, byte_level_tokenizer(), bos_token={"content": "<s>", "lstrip": False})
    assert load_tokenizer(folder).bos_token_id == 1
    (tmp_path / "tokenizer_config.json").unlink()
    assert load_tokenizer(folder).eos_token_id is None
    (tmp_path / "special_tokens_map.json").write_text('{"bos_token": "<s>", "eos_token": {"content": "</s>"}}')
    assert (load_tokenizer(folder).bos_token_id, load_tokenizer(folder).eos_token_id) == (1, 2)


def test_a_length_saved_in_training_neither_cuts_nor_fills(tmp_path):
    backend = byte_level_tokenizer()
    backend.enable_truncation(4)
    backend.enable_padding(length=9)
    tokenizer = load_tokenizer(folder_with(tmp_path, backend))
    assert len(tokenizer.encode("abcdefghij")) == 11 and len(tokenizer.encode("ab")) == 3


@pytest.mark.parametrize("bad", [262, -1, 10**12, "a", 1.5])
def test_an_id_of_no_token_is_refused(bad):
    for read in (TOKENIZER.decode, lambda ids: TOKENIZER.token_text(ids[-1])):
        with pytest.raises(ParameterError, match="not in the vocabulary.* 0 to 261"):
            read([1, bad])


@pytest.mark.parametrize("bad", [None, 3, ["a"], b"a"])
def test_only_text_is_encoded(bad):
    with pytest.raises(ParameterError, match="only text"):
        TOKENIZER.encode(bad)


def test_half_a_character_is_refused():
    with pytest.raises(ParameterError, match="lone surrogate"):
        TOKENIZER.encode("\ud800")


def test_ids_from_a_tensor_decode():
    import torch

    assert TOKENIZER.decode(torch.tensor([ADA, ADA])) == " Ada Ada"


def test_a_folder_without_a_tokenizer(tmp_path):
    with pytest.raises(ModelError, match="no tokenizer.json"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(b"\n\x0e\n")
    with pytest.raises(ModelError, match="SentencePiece.*save_pretrained"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    "text, words",
    [
        ("{", "not valid JSON"),
        ("[]", "holds a list"),
        ("{}", "not a tokenizer"),
        ("version https://git-lfs.github.com/spec/v1", "not valid JSON"),
    ],
)
def test_a_damaged_tokenizer_file_is_named(tmp_path, text, words):
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(ModelError, match=rf"tokenizer\.json.*{words}"):
        load_tokenizer(tmp_path)


def test_a_special_token_from_another_model_is_refused(tmp_path):
    folder = folder_with(tmp_path, byte_level_tokenizer(), eos_token="<|im_end|>")
    with pytest.raises(ModelError, match=r"end token is '<\|im_end\|>'"):
        load_tokenizer(folder)
