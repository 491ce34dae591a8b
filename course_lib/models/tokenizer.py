"""Text to token ids and back, with the `tokenizer.json` of a model folder."""

import json
from functools import cached_property

import tokenizers

from course_lib.errors import ModelError, ParameterError

from .chat import ChatTemplates, content, read_templates
from .folder import find_folder, read_json


class Tokenizer:
    """A `tokenizers.Tokenizer` (as `backend`) with the special tokens that the model's other files name.

    bos_token_id, eos_token_id: the tokens that start and end a text, or None where the model has none.
    special_ids: the ids of all tokens that stand for no text. skipped_ids: those of them that decode() leaves out.
    adds_bos: whether encode() puts the start token first; tokenizer.json decides. chat_templates: its ChatTemplates.
    """

    def __init__(self, backend, bos_token=None, eos_token=None, chat_templates=None):
        # A tokenizer saved during training may still truncate or pad every text to a length.
        backend.no_truncation()
        backend.no_padding()
        self.backend, self.chat_templates = backend, chat_templates or ChatTemplates()
        self.bos_token_id = self._named(bos_token, "start")
        self.eos_token_id = self._named(eos_token, "end")
        # The post-processor of tokenizer.json decides, as in transformers, which ignores "add_bos_token" too.
        # From an empty text it makes the special tokens alone.
        self.adds_bos = self.bos_token_id in backend.encode("").ids
        added = backend.get_added_tokens_decoder()
        named = {self.bos_token_id, self.eos_token_id} - {None}
        self.skipped_ids = frozenset(i for i, token in added.items() if token.special)
        self.special_ids = self.skipped_ids | named

    @property
    def vocab_size(self):
        """The number of token ids. The vocab_size of a model can be larger: rows that no token uses."""
        return max(self._known) + 1

    @cached_property
    def _known(self):
        return frozenset(self.backend.get_vocab(with_added_tokens=True).values())

    @cached_property
    def decoder_parts(self):
        """The steps from pieces to text, such as ("ByteLevel",), or ("Replace", "ByteFallback", "Fuse", "Strip")."""
        if self.backend.decoder is None:
            return ()
        saved = json.loads(self.backend.decoder.__getstate__())
        return tuple(part["type"] for part in saved.get("decoders", [saved]))

    def encode(self, text, *, add_bos=True):
        """The token ids of a text, list[int], with the start token first where the model has one.

        add_bos=False leaves it out, for text that continues other text or that brings its own: it would be there twice,
        as in transformers. No end token is added, since the model goes on from there.
        """
        if not isinstance(text, str):
            raise ParameterError(
                f"encode() got {type(text).__name__} {text!r}, but it takes only text. "
                "Pass one str; encode several texts one by one."
            )
        try:
            ids = self.backend.encode(text, add_special_tokens=False).ids
        except (TypeError, UnicodeEncodeError):  # half a surrogate pair: no valid text
            raise ParameterError(
                "The text holds half a character (a lone surrogate), which has no UTF-8 bytes. "
                "Read the text as UTF-8, or remove it with text.encode(errors='ignore').decode()."
            ) from None
        return [self.bos_token_id, *ids] if add_bos and self.adds_bos else ids

    def apply_chat_template(self, messages, *, add_generation_prompt=False, tokenize=True, tools=None,
                            chat_template=None, continue_final_message=False, **variables):  # fmt: skip
        """The prompt of a chat, as the model was trained to read it: token ids, or the text with tokenize=False.

        messages: a list of {"role": "system", "user" or "assistant", "content": text}; or several such lists, for a
        list of prompts. add_generation_prompt: end with the beginning of the assistant's answer, for it to go on.
        continue_final_message: end within the last message instead. tools: JSON schemas. chat_template: the name of one
        of the model's templates, or the source of another. variables: what else the template knows, such as
        enable_thinking. The text brings its own start token where the template has one, so encode it with
        add_bos=False; Engine.generate sees it. As in transformers, with ids instead of a dictionary. Raises
        ParameterError where there is no template, or where it refuses the messages.
        """
        how = dict(add_generation_prompt=add_generation_prompt, continue_final_message=continue_final_message)
        are_many = isinstance(messages, (list, tuple)) and messages and isinstance(messages[0], (list, tuple))
        prompts = [
            self.chat_templates.render(each, template=chat_template, tools=tools, **how, **variables)
            for each in (messages if are_many else [messages])
        ]
        prompts = [self.encode(text, add_bos=False) for text in prompts] if tokenize else prompts
        return prompts if are_many else prompts[0]

    def decode(self, token_ids, *, skip_special=True):
        """The text of token ids. Special tokens are left out, or shown by name with skip_special=False.

        Bytes that are not a whole character become "\N{REPLACEMENT CHARACTER}". Raises ParameterError for an id of no
        token.
        """
        try:
            ids = [self._checked(i) for i in token_ids]
        except TypeError:
            raise ParameterError(
                f"decode() got {type(token_ids).__name__} {token_ids!r}, but it takes a list of token ids. "
                "Pass what encode returned, or [token_id] for one token."
            ) from None
        return self.backend.decode(ids, skip_special_tokens=skip_special)

    def token_text(self, token_id):
        """One token as readable text: " Ada", "\\n", "<s>"; or "<0xE2>" for part of a character."""
        token_id = self._checked(token_id)
        text = self._text_of(token_id)
        values = _bytes_of(self.backend.id_to_token(token_id)) if "\N{REPLACEMENT CHARACTER}" in text else ()
        return "".join(f"<0x{b:02X}>" for b in values) if values else text

    def token_bytes(self, token_id):
        """The bytes of one token: those of its text in UTF-8, or its part of a character."""
        token_id = self._checked(token_id)
        text = self._text_of(token_id)
        values = _bytes_of(self.backend.id_to_token(token_id)) if "\N{REPLACEMENT CHARACTER}" in text else ()
        return bytes(values) if values else text.encode()

    def _text_of(self, token_id):
        """The text of one token, which holds U+FFFD where it is a part of a character."""
        if token_id in self.special_ids:
            return self.backend.id_to_token(token_id)
        # Some decoders drop a space at the start, so the token is decoded after another one, which is then removed.
        first = self.backend.encode("a", add_special_tokens=False).ids
        before, both = (self.backend.decode(x, skip_special_tokens=False) for x in (first, [*first, token_id]))
        return both.removeprefix(before) if both.startswith(before) else self.backend.decode([token_id])

    def __len__(self):
        return self.vocab_size

    def __repr__(self):
        ends = ", ".join(
            f"{what} {self.backend.id_to_token(i)!r}={i}"
            for what, i in (("start", self.bos_token_id), ("end", self.eos_token_id))
            if i is not None
        )
        return f"Tokenizer({self.vocab_size} tokens{', ' if ends else ''}{ends})"

    def _named(self, token, what):
        if token is None:
            return None
        token_id = self.backend.token_to_id(token)
        if token_id is None:
            raise ModelError(
                f"The model's {what} token is {token!r}, but tokenizer.json has no such token. "
                "The files belong to different models: fetch the folder again."
            )
        return token_id

    def _checked(self, token_id):
        if isinstance(token_id, (str, float)) or int(token_id) not in self._known:
            raise ParameterError(
                f"Token id {token_id!r} is not in the vocabulary, whose ids are 0 to "
                f"{self.vocab_size - 1}. Does it come from a model with another tokenizer?"
            )
        return int(token_id)


def load_tokenizer(name="tale"):
    """The Tokenizer of `name`: a bundled model, a folder in Hugging Face format, or a hub id. Raises ModelError."""
    folder = find_folder(name, weights=False)
    path = folder / "tokenizer.json"
    if not path.is_file():
        if (folder / "tokenizer.model").is_file():
            raise ModelError(
                f"{folder} holds a SentencePiece tokenizer.model but no tokenizer.json, which is the format read "
                f"here. Convert it once: transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)."
            )
        raise ModelError(
            f"{folder} has no tokenizer.json, so text cannot become tokens. Copy it from the model "
            "that the weights come from."
        )
    try:
        backend = tokenizers.Tokenizer.from_file(str(path))
    except Exception as problem:  # the library raises no narrower type
        read_json(path)  # for its message, which names the place where a file is damaged
        raise ModelError(
            f"{path} is not a tokenizer that this version of `tokenizers` reads ({problem}). Fetch the "
            f"file again, or run `pip install -U tokenizers`."
        ) from None
    settings = {}
    for file in ("special_tokens_map.json", "tokenizer_config.json"):  # the second, newer one overrides the first
        if (folder / file).is_file():
            settings.update(read_json(folder / file))
    ends = content(settings.get("bos_token")), content(settings.get("eos_token"))
    return Tokenizer(backend, *ends, read_templates(folder, settings))


def _bytes_of(piece):
    """The bytes of a byte-level piece such as "Ġâ", or of "<0xE2>"; [] for any other piece."""
    if len(piece) == 6 and piece.startswith("<0x"):
        return [int(piece[3:5], 16)]
    try:
        return [BYTE_OF[c] for c in piece]
    except KeyError:
        return []


def _byte_characters():
    """GPT-2's table: one printable character for each byte; bytes without one use the characters from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(256 + n): b for n, b in enumerate(rest)}


BYTE_OF = _byte_characters()
