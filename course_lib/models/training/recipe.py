"""The configurations of the two bundled models, and how each is trained."""

from dataclasses import replace

from course_lib.models.config import ModelConfig

from .data import BOS_ID, CONTEXT, EOS_ID, VOCAB_SIZE

TALE = ModelConfig(
    vocab_size=VOCAB_SIZE,
    hidden_size=256,
    intermediate_size=640,
    num_layers=4,
    num_heads=4,
    num_kv_heads=2,
    head_dim=64,
    context=CONTEXT,
    tie_embeddings=True,
    bos_token_id=BOS_ID,
    eos_token_ids=(EOS_ID,),
)
DRAFT = replace(TALE, hidden_size=128, intermediate_size=320, num_layers=2, head_dim=32)
# The first `short_pools` pools are tales of one chapter only; after them every `sheets_every`-th is partly quiz sheets.
# `decay`: the share of the run, at its end, in which the learning rate falls to 0. `shown`: see losses.Shown.
BOTH = dict(tokens_a_batch=32_768, decay=0.7, muon_lr=0.015, adam_lr=0.003)
RECIPE = {
    "tale": dict(pools=2600, short_pools=60, sheets_every=10, shown=True, seed=1) | BOTH,
    "tale-draft": dict(pools=300, short_pools=20, sheets_every=0, shown=False, seed=2) | BOTH,
}
