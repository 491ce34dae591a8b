"""The batches of a run, made by other processes while the model trains."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import torch

from .data import Batch, make_pool


def pools(tokenizer, done, recipe, workers):
    """Yields (index, batches) of every pool from `done` on. Other processes make them a little ahead."""
    text = tokenizer.to_str()
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as executor:
        waiting = []
        for index in range(done, recipe["pools"]):
            after, every = index - recipe["short_pools"], recipe["sheets_every"]
            what = dict(
                chapters=1 if after < 0 else None,
                tokens_a_batch=recipe["tokens_a_batch"],
                sheets=bool(every) and after >= 0 and after % every == 0,
            )
            waiting.append((index, executor.submit(_pool_in_worker, text, index, what)))
            if len(waiting) > 2 * workers:
                first, future = waiting.pop(0)
                yield first, _received(future)
        for index, future in waiting:
            yield index, _received(future)


_TOKENIZERS = {}


def _pool_in_worker(text, index, what):
    torch.set_num_threads(1)
    if text not in _TOKENIZERS:
        from tokenizers import Tokenizer

        _TOKENIZERS[text] = Tokenizer.from_str(text)
    return [
        [tensor.numpy() for tensor in vars(batch).values()] for batch in make_pool(_TOKENIZERS[text], index, **what)
    ]


def _received(future):
    """The batches, which are sent as arrays: a tensor sent between processes holds a file open until it is read."""
    return [Batch(*map(torch.from_numpy, arrays)) for arrays in future.result()]
