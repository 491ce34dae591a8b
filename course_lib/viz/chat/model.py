"""The data of the chat box: what was said by whom, and how many blocks of the KV cache are in use."""

from course_lib.errors import ParameterError
from course_lib.viz.kit.format import count

WHO = {"user": "you", "assistant": "the model"}
COLUMNS = ["who", "text"]


def chat_data(messages, *, state, memory, most_blocks):
    """What the browser draws from.

    messages: [{"role", "content"}, ...]. state: "" or what the newest answer is: "streams", "stopped" or the words of
    an error. memory: (blocks in use, blocks) or None. most_blocks: the most that were in use during the newest answer.
    """
    return {
        "title": "A chat with the server",
        "subtitle": "its answers stream; each message sends the whole conversation again",
        "first": 1,
        "last": 1,
        "columns": COLUMNS,
        "messages": [{"who": WHO.get(one["role"], one["role"]), "text": one["content"].strip()} for one in messages],
        "state": state,
        "memory": None if memory is None else list(memory),
        "most": most_blocks,
        "say": [[["", words_of(messages, state, memory, most_blocks)]]],
    }


def words_of(messages, state, memory, most_blocks):
    """The line below the box."""
    said = ["Write the beginning of something, and the server goes on."] if not messages else []
    if state == "streams":
        said.append("The answer is streaming.")
    elif state == "stopped":
        said.append("You hung up: the request was cancelled.")
    elif state:
        said.append(f"The server did not answer: {state}.")
    if memory is not None:
        said.append(
            f"{memory[0]:,} of {count(memory[1], 'block')} in use now, {most_blocks:,} at most for this answer."
        )
    return " ".join(said)


def checked(text):
    """A question as text. Raises ParameterError for anything else, and for an empty one."""
    if not isinstance(text, str) or not text.strip():
        raise ParameterError(f"The message is {text!r}, but it is a text with at least one letter.")
    return text.strip()
