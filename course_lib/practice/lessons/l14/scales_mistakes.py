"""The mistakes in 14.scales. Each is the right answer with one part replaced."""

import torch

from course_lib.practice.judge.exercise import Mistake


def wrong(
    *,
    sizes=torch.abs,
    peak=lambda x, dims: x.amax(dims, keepdim=True),
    token=(2,),
    head=(0, 2),
    channel=(0,),
    split=lambda x, group: x.split(group or len(x)),
    joined=lambda parts: torch.cat(parts),
    gives=lambda peaks, x: peaks.expand_as(x),
    over=lambda largest: largest,
    zero=0.0,
):
    """A wrong answer: the right one with one part replaced."""

    def answer(x, by, largest, group=None):
        if len(x) == 0:
            return torch.empty_like(x)
        made = sizes(x)
        if by == "channel":
            found = joined([gives(peak(part, channel), part) for part in split(made, group)])
        else:
            found = gives(peak(made, token if by == "token" else head), x)
        found = found / over(largest)
        return torch.where(found == 0, zero, found)

    return answer


def merged(x, group):
    """The tokens that do not fill a group join the group before."""
    whole = len(x) // group * group if group and len(x) >= group else 0
    parts = list(x[:whole].split(group)) if whole else [x]
    if whole and whole < len(x):
        parts[-1] = torch.cat([parts[-1], x[whole:]])
    return parts


def names_exchanged(x, by, largest, group=None):
    return wrong()(x, {"token": "head", "head": "token"}.get(by, by), largest, group)


def in_groups_always(x, by, largest, group=None):
    parts = x.split(group) if group and len(x) else [x]
    return torch.cat([wrong()(part, by, largest) for part in parts])


def lifted(least):
    return lambda x, by, largest, group=None: wrong()(x, by, largest, group).clamp(min=least)


MISTAKES = [
    Mistake(
        "the sign is not taken off before the maximum is taken.",
        "The number that is farthest from 0 may be a negative one: `x.abs()`.",
        (wrong(sizes=lambda x: x), wrong(sizes=lambda x: x, peak=lambda x, dims: x.amax(dims, keepdim=True).abs())),
    ),
    Mistake(
        'with "token", the heads share a scale.',
        "Each head of a token has its own: the maximum over the last dimension alone.",
        wrong(token=(1, 2)),
    ),
    Mistake(
        'with "token", each channel has a scale.',
        "The numbers of one token and head share a scale: the maximum over the last dimension.",
        (wrong(token=(0,)), wrong(token=(1,))),
    ),
    Mistake(
        'with "head", all heads share a scale.',
        "Each head has its own: the maximum over the first and the last dimension.",
        wrong(head=(0, 1, 2)),
    ),
    Mistake(
        'with "head", each token has a scale.',
        "All tokens share the scale of their head: the maximum over the first and the last dimension.",
        wrong(head=(2,)),
    ),
    Mistake(
        'with "head", each channel has a scale.',
        "All channels share the scale of their head: the maximum over the first and the last dimension.",
        wrong(head=(0,)),
    ),
    Mistake(
        'with "channel", the heads share a scale.',
        "Channel 3 of one head has nothing to do with channel 3 of another. The maximum goes over tokens alone.",
        wrong(channel=(0, 1)),
    ),
    Mistake(
        'with "channel", the channels of a head share a scale.',
        "Each place of head_dim has its own: the maximum goes over tokens alone.",
        wrong(channel=(0, 2)),
    ),
    Mistake(
        'with "channel", each token has a scale.',
        "A channel shares its scale with the same channel of other tokens.",
        (wrong(channel=(2,)), wrong(channel=(1,))),
    ),
    Mistake(
        '"token" and "head" are exchanged.',
        'By "token" every token and head has a scale; by "head" all tokens of a head share one.',
        names_exchanged,
    ),
    Mistake(
        "the group counts for others than channels.",
        "Tokens are in groups only by channel. A head has one scale over all tokens, whatever `group` is.",
        in_groups_always,
    ),
    Mistake(
        "without a group each token is one by itself.",
        "If `group` is None, all tokens are one group: `x.split(group or len(x))`.",
        wrong(split=lambda x, group: x.split(group or 1)),
    ),
    Mistake(
        "the group is not used.",
        "With a group, tokens 0 to group - 1 share a scale, the next `group` tokens another.",
        wrong(split=lambda x, group: [x]),
    ),
    Mistake(
        "the group is taken for the number of groups.",
        "`group` is how many tokens share a scale: `x.split(group)`, not `x.chunk(group)`.",
        wrong(split=lambda x, group: x.chunk(group or 1)),
    ),
    Mistake(
        "every so-many-th token shares a scale.",
        "A group is `group` tokens in a row.",
        wrong(
            split=lambda x, group: [x[i::group] for i in range(min(group, len(x)))] if group else [x],
            joined=lambda parts: torch.stack(
                [parts[i % len(parts)][i // len(parts)] for i in range(sum(map(len, parts)))]
            ),
        ),
    ),
    Mistake(
        "the last tokens join the group before.",
        "What is left at the end is a group of its own, a shorter one.",
        wrong(split=merged),
    ),
    Mistake(
        "the last tokens are left out.",
        "What is left at the end is a group of its own, a shorter one.",
        wrong(split=lambda x, group: x[: len(x) // group * group].split(group) if group and len(x) >= group else [x]),
    ),
    Mistake(
        "the groups are counted from the end.",
        "Tokens 0 to group - 1 are the first group; the last one may be short.",
        wrong(
            split=lambda x, group: (
                ([x[: len(x) % group]] if len(x) % group else []) + list(x[len(x) % group :].split(group))
                if group and len(x) >= group
                else [x]
            )
        ),
    ),
    Mistake(
        "a token has the scale of the tokens up to it.",
        "All tokens of a group share the largest of the whole group.",
        wrong(peak=lambda x, dims: x.cummax(0).values if dims == (0,) else x.amax(dims, keepdim=True)),
    ),
    Mistake(
        "the result has one number for each scale.",
        "It is asked for with the shape of x: `.expand_as(x)`.",
        (wrong(gives=lambda peaks, x: peaks), wrong(gives=lambda peaks, x: peaks.squeeze())),
    ),
    Mistake(
        "the largest number is not divided.",
        "A scale is the largest absolute number divided by `largest`.",
        wrong(over=lambda largest: 1),
    ),
    Mistake(
        "the largest number is divided by another number than `largest`.",
        "127 is the largest whole number, and not how many there are.",
        (
            wrong(over=lambda largest: 127),
            wrong(over=lambda largest: largest + 1),
            wrong(over=lambda largest: 2 * largest),
            wrong(over=lambda largest: 2 * largest + 1),
        ),
    ),
    Mistake(
        "the mean of the sizes is taken, not the largest.",
        "Then numbers above the mean do not fit.",
        wrong(peak=lambda x, dims: x.mean(dims, keepdim=True)),
    ),
    Mistake(
        "zeros get a scale that is not 0.",
        "Only the division needs another number there, and it comes later.",
        (wrong(zero=1.0), wrong(zero=1e-4), wrong(zero=float("nan")), lifted(1e-8), lifted(1e-5)),
    ),
]
