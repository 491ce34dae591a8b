"""A few named sets of lengths, for models with a context of 16,384 tokens or more.

They are made up by this course in the shapes that such traffic has. They are nobody's recorded traffic: to plan for
your own users, record theirs and use RecordedLengths. `scaled` fits them to a small model:
`LENGTH_SETS["chat"].scaled(1 / 8)`.
"""

from course_lib.errors import ParameterError

from .lengths import Fixed, Lengths, LogNormal, Uniform

LENGTH_SETS = {
    "chat": Lengths(
        prompt=LogNormal(median=250, sigma=1.0, low=8, high=4096),
        output=LogNormal(median=200, sigma=0.8, low=4, high=2048),
        about="Questions and answers: both short mostly, both with a long tail. Most time goes into decoding.",
    ),
    "code_completion": Lengths(
        prompt=LogNormal(median=1500, sigma=0.6, low=64, high=8192),
        output=LogNormal(median=24, sigma=0.8, low=1, high=256),
        about="The code around the cursor goes in, a line or two come out. Prefill counts most, and TTFT is all that "
        "the user notices.",
    ),
    "retrieval": Lengths(
        prompt=Uniform(3000, 12000),
        output=LogNormal(median=200, sigma=0.5, low=16, high=1024),
        about="Long documents and a question go in, a short answer comes out. One prompt can delay all other requests.",
    ),
    "batch": Lengths(
        prompt=Uniform(512, 2048),
        output=Fixed(128),
        about="Work that nobody waits for, such as labelling documents over night: only throughput counts.",
    ),
}
"""{name: Lengths}"""


def length_set(name):
    """The Lengths of this name. Raises ParameterError, with the names there are."""
    if name not in LENGTH_SETS:
        raise ParameterError(f"There is no set of lengths {name!r}. There are {', '.join(LENGTH_SETS)}.")
    return LENGTH_SETS[name]
