"""The engine on a learner's parts, and the score board from naive to final."""
