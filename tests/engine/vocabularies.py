"""Small vocabularies of every kind, made with `tokenizers`: each byte is a token, and some pieces are."""

from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Backend

from course_lib.models import Tokenizer

SPECIAL = ["<unk>", "<s>", "</s>", "<|end|>"]


def byte_level():
    """GPT-2's kind, with pieces that hold parts of characters, and an added token that is text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    cut = [as_pieces("日".encode()[1:] + b"a"), as_pieces(b" " + "日".encode()[:2]), as_pieces("é".encode())]
    vocab = {piece: i for i, piece in enumerate([*SPECIAL, *alphabet, *cut, "Ġthe"])}
    backend = Backend(models.BPE(vocab, []))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return finished(backend)


def byte_fallback(strip=True):
    """Llama 2's kind (strip), or Gemma's: "▁" for a space, and bytes as "<0x0A>" for what no piece has."""
    pieces = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "▁x", "x", "▁▁", "日", "é", PART]
    backend = Backend(models.BPE({piece: i for i, piece in enumerate(pieces)}, [], byte_fallback=True))
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    backend.decoder = decoders.Sequence([*parts, decoders.Strip(" ", 1, 0)] if strip else parts)
    return finished(backend)


def word_piece():
    """BERT's kind: "##" for what goes on without a space, and no space before a full stop."""
    vocab = {piece: i for i, piece in enumerate([*SPECIAL, "the", "fox", "##es", ".", "'", "s", "é", "日"])}
    backend = Backend(models.WordPiece(vocab, unk_token="<unk>"))
    backend.decoder = decoders.WordPiece()
    return finished(backend)


def metaspace():
    """T5's kind: "▁" for a space, dropped where the text begins, and no bytes."""
    backend = Backend(models.BPE({p: i for i, p in enumerate([*SPECIAL, "▁", "▁x", "x", "▁▁", "日"])}, []))
    backend.decoder = decoders.Metaspace()
    return finished(backend)


def finished(backend):
    backend.add_special_tokens(SPECIAL)
    backend.add_tokens([AddedToken("<tool call>", special=False)])
    return Tokenizer(backend, "<s>", "</s>")


def as_pieces(data):
    """Bytes as a byte-level vocabulary writes them."""
    from course_lib.models.tokenizer import BYTE_OF

    character_of = {byte: character for character, byte in BYTE_OF.items()}
    return "".join(character_of[byte] for byte in data)


PART = "\N{REPLACEMENT CHARACTER}"
VOCABULARIES = {
    "byte-level": byte_level(),
    "byte-fallback": byte_fallback(),
    "byte-fallback, no strip": byte_fallback(strip=False),
    "word pieces": word_piece(),
    "metaspace": metaspace(),
}
