"""From the messages of a chat to one text, by the template that a model was trained with.

An instruct model answers only to prompts of the form that it knows: a few special tokens say who speaks. That form is
a program in the template language Jinja, which comes with the tokenizer:

    {% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
    {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}

A template is code from a stranger, so it runs in Jinja's sandbox and sees plain data alone. What it may use is what
transformers offers (`apply_chat_template`), so the text is the same.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache

from course_lib.errors import ModelError, ParameterError

from .folder import read_json

SPECIAL_NAMES = [f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")]
REASONING_NAMES = ("reasoning_content", "thinking", "reasoning")  # templates differ in how they call it
CONTINUED = "CONTINUED MESSAGE ENDS HERE "  # the space shows whether the template trims messages


class ChatTemplates:
    """The templates of a model by name, and the special tokens that they may name.

    templates: {name: source}; "default" is the usual one, and "tool_use", where there is one, that for tools.
    special_tokens: {"bos_token": "<s>", ...}, those that the model has.
    """

    def __init__(self, templates=(), special_tokens=()):
        self.templates, self.special_tokens = dict(templates), dict(special_tokens)

    def render(self, messages, *, template=None, tools=None, add_generation_prompt=False,
               continue_final_message=False, **variables):  # fmt: skip
        """The text of one conversation. See Tokenizer.apply_chat_template."""
        if add_generation_prompt and continue_final_message:
            raise ParameterError(
                "add_generation_prompt begins a new message of the assistant, and continue_final_message goes on with "
                "the last one. Set one of them."
            )
        messages, source = checked(messages), self.source(template, tools)
        if continue_final_message:
            if not isinstance(messages[-1].get("content"), str):
                raise ParameterError(f"The last message is {messages[-1]}, and it has no content to continue.")
            messages[-1]["content"] += CONTINUED
        text = run(
            source,
            messages=messages,
            tools=None if tools is None else [checked_tool(tool) for tool in tools],
            documents=plain(variables.pop("documents", None)),
            add_generation_prompt=add_generation_prompt,
            **self.special_tokens | plain(variables),
        )
        return text if not continue_final_message else cut(text)

    def source(self, template, tools):
        """The template to use: the given one, by name or as source, or the model's own."""
        if template is not None:
            return self.templates.get(template, template)
        name = "tool_use" if tools is not None and "tool_use" in self.templates else "default"
        if name in self.templates:
            return self.templates[name]
        if self.templates:
            raise ParameterError(
                f"This model has several chat templates and none of them is the default. Pass chat_template= and one "
                f"of their names: {', '.join(sorted(self.templates))}."
            )
        raise ParameterError(
            'This tokenizer has no chat template: its folder has no chat_template.jinja, and no "chat_template" in '
            "tokenizer_config.json. A base model was never trained to chat: pass text to encode(). If it is an "
            "instruct model, copy the file from its page, or pass chat_template= with the source of a template."
        )


def read_templates(folder, settings):
    """The ChatTemplates of a folder. settings: what tokenizer_config.json says. Raises ModelError.

    The file chat_template.jinja counts before tokenizer_config.json, as in transformers; further templates are in
    additional_chat_templates.
    """
    files = {path.stem: path for path in sorted((folder / "additional_chat_templates").glob("*.jinja"))}
    if (folder / "chat_template.jinja").is_file():
        files["default"] = folder / "chat_template.jinja"
    templates = {name: read_source(path) for name, path in files.items()}
    found = settings.get("chat_template")
    if not templates and found is None and (folder / "chat_template.json").is_file():
        found = read_json(folder / "chat_template.json").get("chat_template")
    if not templates and found is not None:
        try:
            templates = {"default": found} if isinstance(found, str) else {t["name"]: t["template"] for t in found}
        except (TypeError, KeyError):
            raise ModelError(
                f'"chat_template" in {folder / "tokenizer_config.json"} is neither a template nor a list of '
                f'{{"name": ..., "template": ...}}. Fetch the file again.'
            ) from None
    tokens = {name: content(settings.get(name)) for name in SPECIAL_NAMES}
    return ChatTemplates(templates, {name: token for name, token in tokens.items() if token is not None})


def read_source(path):
    """The text of a template's file. Raises ModelError where it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as problem:
        raise ModelError(f"{path} is not UTF-8 text ({problem}), so it is no template. Fetch the file again.") from None


def content(token):
    """The text of a special token, which is written as a string or as an object with "content"."""
    return token.get("content") if isinstance(token, dict) else token


def run(source, **variables):
    """What a template prints. Raises ModelError for a template that is no Jinja, ParameterError for what it refuses."""
    import jinja2

    try:
        return compiled(source).render(**variables)
    except jinja2.TemplateSyntaxError as problem:
        raise ModelError(
            f"The chat template is not valid Jinja: line {problem.lineno}: {problem.message}. Fetch "
            f"chat_template.jinja and tokenizer_config.json again, or correct the template."
        ) from None
    except Exception as problem:  # a template can raise anything: raise_exception, an undefined name, a division by 0
        raise ParameterError(
            f"The chat template does not take these messages: {problem} ({type(problem).__name__}). What it takes is "
            f"in its source: tokenizer.chat_templates.templates."
        ) from None


@lru_cache(maxsize=32)
def compiled(source):
    """The template, with what transformers offers to templates. Imports jinja2."""
    import jinja2
    import jinja2.ext
    import jinja2.sandbox

    class Generation(jinja2.ext.Extension):
        """{% generation %} marks what the assistant says, for training; here it prints what is inside."""

        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            inside = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return jinja2.nodes.Scope(inside, lineno=line)

    def refuse(message):
        raise jinja2.TemplateError(message)

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(source)


def to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    """Jinja's own filter writes < and > as \\u003c and \\u003e, for web pages; a model was trained without that."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def checked(messages):
    """The messages as plain data, a copy. Raises ParameterError for what is no conversation."""
    example = '[{"role": "user", "content": "Who are you?"}]'
    if isinstance(messages, (str, bytes, Mapping)) or not hasattr(messages, "__iter__"):
        raise ParameterError(f"messages is {messages!r}, but a conversation is a list of messages, such as {example}.")
    messages = list(messages)
    if not messages:
        raise ParameterError(f"There are no messages, so there is nothing to answer. Pass some, such as {example}.")
    for message in messages:
        if not isinstance(message, Mapping) or "role" not in message:
            raise ParameterError(f'A message is {message!r}, but it says who speaks by "role", such as in {example}.')
    return [with_reasoning({key: plain(x) for key, x in m.items() if x is not None}) for m in messages]


def with_reasoning(message):
    """The message, in which templates find what the assistant thought under each of its two usual names."""
    thought = next((message[name] for name in REASONING_NAMES if name in message), None)
    return message if thought is None else {"thinking": thought, **message, "reasoning_content": thought}


def checked_tool(tool):
    if not isinstance(tool, Mapping):
        raise ParameterError(
            f"A tool is {tool!r}, but templates take a description of it: a JSON schema, such as "
            f'{{"type": "function", "function": {{"name": ..., "description": ..., "parameters": ...}}}}.'
        )
    return plain(tool)


def plain(value):
    """The value made of JSON types alone: a template gets nothing whose methods could do harm."""
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(plain, value)) if type(value) in (list, tuple) else list(map(plain, value))
    if value is None or type(value) in (str, int, float, bool):
        return value
    for kind, convert in ((str, str.__str__), (int, int.__int__), (float, float.__float__)):
        if isinstance(value, kind):
            return convert(value)
    return f"<{type(value).__name__}>"


def cut(text):
    """The text up to where the content of the last message ends."""
    before, found, _ = text.rpartition(CONTINUED)
    if found:
        return before
    before, found, _ = text.rpartition(CONTINUED.strip())
    if not found:
        raise ParameterError(
            "The template does not print the content of the last message, so the text cannot end within it. Leave out "
            "continue_final_message."
        )
    return before.rstrip()
