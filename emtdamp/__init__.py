"""EM-TDAMP: Bayesian message passing that trains and prunes neural networks, and its study."""

from importlib.metadata import version

__version__ = version("emtdamp")
