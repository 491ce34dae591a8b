"""Known wrong answers to the questions of 18.read_vllm."""

from course_lib.practice.judge.exercise import Mistake
from course_lib.practice.judge.running import Raised

WRONG = [
    ("tokens", [1, 172, 0], "B gets more than the budget allows.", "Of 64 tokens A takes 1, so 63 are left for B."),
    ("tokens", [1, 63, 40], "C gets tokens that nobody has left.", "The budget counts for all: 1 + 63 is 64."),
    ("tokens", [1, 23, 40], "the waiting request goes before the running one.", "Running requests come first."),
    ("tokens", [101, 300, 40], "computed tokens are computed again.", "Only `num_tokens - num_computed_tokens`."),
    ("tokens", [1, 64, 0], "A's token does not count.", "A decode step costs budget as well: 64 - 1 are left."),
    ("full_hit", [64, 0], "nothing is computed.", "Without a computed token there are no logits."),
    ("full_hit", [63, 1], "a part of a block is taken from the cache.", "Only full blocks are found."),
    ("full_hit", [16, 48], "the two numbers are in the other order.", "First what is cached, then what is computed."),
    ("freed", [7, 8, 9, 3, 4, 5], "blocks go to the end in the order of the request.", "They come in reverse order."),
    ("freed", [7, 8, 9, 5, 4, 3], "block 5 goes to the end.", "It has no hash, so nobody can find it again."),
    ("freed", [5, 4, 3, 7, 8, 9], "all blocks go to the front.", "Those with a hash go to the end: they may be hit."),
    ("freed", [5, 7, 8, 9, 3, 4], "hashed blocks are not reversed.", "`free` reverses all blocks of the request."),
    ("freed", [7, 8, 9, 4, 3, 5], "block 5 is last.", "The block that can never be hit is given out first."),
    ("reused", [3, 7, 8], "new blocks are those that were free before.", "The queue begins with block 5 by now."),
    ("reused", [5, 7, 8], "the hit is not used.", "The first block of the table is the one that was hit."),
    ("reused", [3, 4, 5], "the request gets the blocks of the earlier one.", "Only block 3 was hit; others are new."),
    ("preempted", ["C", "D", "E"], "one victim is thought to be enough.", "C holds 1 block, and A needs 3."),
    ("preempted", ["D", "E", "C", "B"], "victims go to the end.", "`prepend_request` puts them to the front."),
    ("preempted", ["C", "B", "D", "E"], "the first victim is next.", "B is put in front of C, which went earlier."),
    ("preempted", ["D", "E", "B", "C"], "victims go to the end.", "`prepend_request` puts them to the front."),
    ("important", ["D", "B", "C"], "the least value goes first.", "`max`: a high value means less important."),
    ("important", ["C", "B"], "two blocks are thought to be enough.", "A needs 3, and each victim holds 1."),
    ("important", ["B", "C", "D"], "the earlier of two equals goes first.", "`max` takes the later arrival."),
    ("important", ["C", "D", "B"], "arrivals are compared before priorities.", "The tuple begins with the priority."),
    ("important", ["D", "C", "B"], "the last admitted goes first.", "That is the rule of `fcfs`."),
    ("same_step", [64, 64], "vLLM is thought to hash after the step.", "`allocate_slots` hashes the blocks."),
    ("same_step", [32, 64], "the second request computes nothing.", "At most 31 of its 32 tokens may be hit."),
    ("same_step", [33, 64], "a part of a block is hit.", "Only full blocks are found: 16 of 32 tokens."),
    ("same_step", [48, 48], "this course is thought to hash early, too.", "`commit` comes after the step."),
    ("same_step", [64, 48], "the two numbers are in the other order.", "First vLLM, then the course."),
    ("rows", [[0, 67], [0, 67]], "vLLM is thought to skip the chunk.", "It takes the last row of each sequence."),
    ("rows", [[0, 63, 67], [0, 63, 67]], "the course's engine has a row for the chunk.", "It has no choice there."),
    ("rows", [[1, 64, 68], [1, 68]], "the ends are taken, and not the last rows.", "`query_start_loc[1:] - 1`."),
    ("rows", [[0, 1, 64], [0, 64]], "the first rows are taken.", "The last token of a sequence says what follows."),
    ("kept", [0, 1, 2], "top-p is taken of all five tokens.", "Divide the three that top-k leaves by their sum."),
    ("kept", [0, 1, 2, 3], "temperature comes last.", "It comes first, and top-k leaves three tokens at most."),
    ("kept", [0], "top-p is exclusive.", "The token with which the sum reaches 0.94 is kept as well."),
    ("evicted", ["X", "W", "Y"], "parents are not looked at again.", "When W is gone, Z is a leaf, used at 5."),
    ("evicted", ["X", "W", "Z"], "48 tokens are thought to be enough.", "16 + 8 + 24 is less than 60."),
    ("evicted", ["X", "W", "Z", "Y", "S"], "one node too many is evicted.", "After Y, 96 tokens are evicted."),
    ("evicted", ["X", "Z", "Y"], "Z goes before its child.", "Only leaves are in the heap; W continues Z."),
    ("evicted", ["Y", "W", "Z", "X"], "the most recently used goes first.", "The heap gives the smallest time."),
]
"""(key, answer, what is wrong, why): answers that people give."""


def MISTAKES(trials):
    """The Mistakes for the Trials of the questions, {key: Trial}."""
    named = {}
    for key, wrong, name, why in WRONG:
        named.setdefault((key, name, why), []).append(wrong)
    return [
        Mistake(
            "an answer is text.",
            "Each answer is a list, such as `[1, 2]`, and not the text of one.",
            is_made_by=lambda answer, found: (
                isinstance(found.outcome, Raised)
                and isinstance(answer(), dict)
                and any(isinstance(value, str) for value in answer().values())
            ),
        ),
        Mistake(
            "the answers come without their keys.",
            'A dict is returned: `{"tokens": [...], "full_hit": [...], ...}`.',
            is_made_by=lambda answer, found: (
                isinstance(found.outcome, (tuple, list)) and not isinstance(answer(), dict)
            ),
        ),
        *(
            Mistake(f"`{key}`: {name}", why, is_made_by=answered(trials[key], wrongs))
            for (key, name, why), wrongs in named.items()
        ),
    ]


def answered(trial, wrongs):
    return lambda answer, found: found.trial is trial and found.outcome in wrongs
