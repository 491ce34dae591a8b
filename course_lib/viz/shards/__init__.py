"""One layer on several GPUs: which part of each weight and of the KV cache a GPU holds, and what is sent when."""
