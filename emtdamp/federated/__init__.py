"""Training where the rows stay with their owners: clients send Gaussians, a server averages them.

`loop.run` is the whole of it in one process. `client.Client` and the functions of `server` are the
two ends, joined by dictionaries of NumPy arrays (`wire`), so that any transport can carry them.
"""
