"""Exercises of lesson 15: the rule of acceptance, the token after it, drafts from the text, one run that checks."""

from .accept import ACCEPT
from .ngram import NGRAM
from .rejection_sample import REJECTION_SAMPLE
from .verify_step import VERIFY_STEP
from .when_it_pays import WHEN_IT_PAYS

EXERCISES = [ACCEPT, REJECTION_SAMPLE, NGRAM, VERIFY_STEP, WHEN_IT_PAYS]
