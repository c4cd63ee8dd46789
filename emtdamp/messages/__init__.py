"""Tensors in, tensors out: DAMP (module A), sum-product on the prior (module B), fixed points."""
