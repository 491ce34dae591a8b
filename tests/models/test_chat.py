"""Chat templates: what transformers makes of the same messages, from every file in which a template can stand."""

import json

import pytest
import transformers
from checkpoints import byte_level_tokenizer

from course_lib.errors import ModelError, ParameterError
from course_lib.models import load_tokenizer

# Each in the manner of a family, with the parts of the language that its own template uses.
LLAMA_3 = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start|>system<|stop|>\\n\\n" }}
{%- if tools is not none %}{{- "Environment: ipython\\n" }}{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}{{- system_message }}{{- "</s>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or 'tool_calls' in message) %}
        {{- '<|start|>' + message['role'] + '<|stop|>\\n\\n'+ message['content'] | trim + '</s>' }}
    {%- elif 'tool_calls' in message %}
        {%- for call in message.tool_calls %}{{- call.function | tojson }}{%- endfor %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start|>assistant<|stop|>\\n\\n' }}{%- endif %}
"""
QWEN = """{%- if tools %}
    {{- '<|im_start|>system\\n# Tools\\n' }}
    {%- for tool in tools %}{{- "\\n" }}{{- tool | tojson }}{%- endfor %}
    {{- "\\n<|im_end|>\\n" }}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" %}
        {%- set ns.multi_step_tool = false %}{%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == "assistant" %}
        {%- set thought = message.reasoning_content if message.reasoning_content is string else '' %}
        {%- if '</think>' in content %}
            {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.last or (not loop.last and thought) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + thought.strip('\\n') }}
            {{- '\\n</think>\\n\\n' + content }}
        {%- else %}{{- '<|im_start|>' + message.role + '\\n' + content }}{%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}"""
MISTRAL = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception("After the optional system message, roles must alternate user/assistant") }}
    {%- endif %}
    {%- if message["role"] == "user" %}
        {%- if loop.first and system_message is defined %}
            {{- " [INST] " + system_message + "\\n\\n" + message["content"] + " [/INST]" }}
        {%- else %}{{- " [INST] " + message["content"] + " [/INST]" }}{%- endif %}
    {%- else %}
        {%- generation %}{{- " " + message["content"] + eos_token }}{%- endgeneration %}
    {%- endif %}
{%- endfor %}
"""
SMOLLM = """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You are a helpful AI assistant.<|im_end|>
' }}{% endif %}{% if message['role'] == 'skip' %}{% continue %}{% endif %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}
"""
TEMPLATES = {"llama 3": LLAMA_3, "qwen": QWEN, "mistral": MISTRAL, "smollm": SMOLLM}

TOOL = {"type": "function", "function": {"name": "sum", "description": "a < b & 'é'", "parameters": {"a": [1, None]}}}
HELLO = {"role": "user", "content": "  Grüße <b>& </s> 🦊 \n"}
ANSWER = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nYes. "}
CHATS = {
    "one message": [HELLO],
    "a system message": [{"role": "system", "content": " Be kind. "}, HELLO],
    "an answer": [HELLO, ANSWER, {"role": "user", "content": "Why?"}],
    "it ends with an answer": [HELLO, {**ANSWER, "tool_calls": None, "reasoning": "because"}],
    "two in a row": [HELLO, HELLO],
    "a role of its own": [HELLO, {"role": "skip", "content": "x"}],
}


def folder_of(path, template=None, **settings):
    byte_level_tokenizer().save(str(path / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", **settings}
    if template is not None:
        (path / "chat_template.jinja").write_text(template, encoding="utf-8")
    (path / "tokenizer_config.json").write_text(json.dumps(settings))
    return path


@pytest.fixture(scope="module", params=TEMPLATES)
def both(request, tmp_path_factory):
    """(ours, theirs) with one template."""
    folder = folder_of(tmp_path_factory.mktemp("chat"), TEMPLATES[request.param])
    return load_tokenizer(folder), transformers.AutoTokenizer.from_pretrained(folder)


OPTIONS = {
    "plain": {},
    "for an answer": dict(add_generation_prompt=True),
    "with tools": dict(tools=[TOOL], add_generation_prompt=True),
    "without tools": dict(tools=None, enable_thinking=False, add_generation_prompt=True),
    "with a date": dict(date_string="1 May 2020"),
    "continued": dict(continue_final_message=True),
}


@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("how", OPTIONS)
def test_a_chat_is_the_text_that_transformers_makes(both, chat, how):
    (ours, theirs), how, messages = both, OPTIONS[how], CHATS[chat]
    given = json.loads(json.dumps(messages))
    try:
        want = theirs.apply_chat_template(messages, tokenize=False, **how)
    except Exception as refused:
        with pytest.raises(ParameterError) as raised:
            ours.apply_chat_template(messages, **how)
        assert "alternate" in str(raised.value) or "continue" in str(refused)
        return
    assert ours.apply_chat_template(messages, tokenize=False, **how) == want
    ids = theirs.apply_chat_template(messages, **how)["input_ids"]
    assert ours.apply_chat_template(messages, tokenize=True, **how) == ids
    assert ours.apply_chat_template([messages, messages], **how) == [ids, ids]
    assert messages == given


def test_a_chat_has_one_start_token(tmp_path):
    tokenizer = load_tokenizer(folder_of(tmp_path, MISTRAL))
    assert tokenizer.apply_chat_template([HELLO], add_generation_prompt=True).count(tokenizer.bos_token_id) == 1


NAMED = [
    {"name": "default", "template": SMOLLM},
    {"name": "tool_use", "template": QWEN},
    {"name": "x", "template": "y"},
]


@pytest.mark.parametrize("where", ["files", "list", "string", "object", "both"])
def test_a_template_is_found_where_transformers_finds_it(tmp_path, where):
    if where == "files":
        folder = folder_of(tmp_path, SMOLLM)
        (folder / "additional_chat_templates").mkdir()
        for each in NAMED[1:]:
            (folder / "additional_chat_templates" / f"{each['name']}.jinja").write_text(each["template"])
    elif where == "both":
        folder = folder_of(tmp_path, SMOLLM, chat_template="of the settings")
    else:
        tokens = {"bos_token": {"__type": "AddedToken", "content": "<s>"}} if where == "object" else {}
        folder = folder_of(tmp_path, chat_template=NAMED if where == "list" else LLAMA_3, **tokens)
    ours, theirs = load_tokenizer(folder), transformers.AutoTokenizer.from_pretrained(folder)
    for how in (dict(), dict(tools=[TOOL]), dict(chat_template="x"), dict(chat_template=MISTRAL)):
        want = theirs.apply_chat_template([HELLO], tokenize=False, **how)
        assert ours.apply_chat_template([HELLO], tokenize=False, **how) == want, how


def test_what_is_missing_is_said(tmp_path):
    tokenizer = load_tokenizer(folder_of(tmp_path))
    with pytest.raises(ParameterError, match="no chat_template.jinja.*tokenizer_config.json.*base model"):
        tokenizer.apply_chat_template([HELLO])
    tokenizer = load_tokenizer(folder_of(tmp_path, chat_template=NAMED[1:]))
    with pytest.raises(ParameterError, match="tool_use, x"):
        tokenizer.apply_chat_template([HELLO])
    tokenizer = load_tokenizer(folder_of(tmp_path, "{% for %}"))
    with pytest.raises(ModelError, match="line 1"):
        tokenizer.apply_chat_template([HELLO])
    folder_of(tmp_path, chat_template=[{"title": "x"}])
    (tmp_path / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match='"chat_template" in .*tokenizer_config.json'):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    "messages, words",
    [
        ("Hello", "list of messages"),
        (HELLO, "list of messages"),
        (None, "list of messages"),
        ([], "no messages"),
        (["Hello"], '"role"'),
        ([{"content": "Hello"}], '"role"'),
        ([{"role": "user"}], "does not take these messages"),
    ],
)
def test_what_is_no_chat_is_refused(tmp_path, messages, words):
    with pytest.raises(ParameterError, match=words):
        load_tokenizer(folder_of(tmp_path, SMOLLM)).apply_chat_template(messages)


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update(role='x') }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ thing.read_text() }}",
        "{{ 1 / 0 }}",
    ],
)
def test_a_template_can_do_no_harm(tmp_path, template):
    tokenizer = load_tokenizer(folder_of(tmp_path, template))
    with pytest.raises(ParameterError, match="does not take these messages"):
        tokenizer.apply_chat_template([HELLO], thing=tmp_path / "tokenizer.json")
