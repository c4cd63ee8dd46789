"""What EM-TDAMP is compared with.

    model = BaselineClassifier(Gradual(), (128,), sparsity=0.5, random_state=0).fit(X, y)

`BaselineClassifier` and `BaselineRegressor` train a network by a method: `Adam`, `Magnitude`,
`GroupLasso`, `GroupSNIP`, `Gradual`, `IVON` or `AMP`. The other modules are baselines by
themselves.
"""

from emtdamp.baselines.estimators import BaselineClassifier, BaselineRegressor
from emtdamp.baselines.ivon_network import IVON
from emtdamp.baselines.methods import AMP, Adam, Gradual, GroupLasso, GroupSNIP, Magnitude

__all__ = [
    "AMP",
    "IVON",
    "Adam",
    "BaselineClassifier",
    "BaselineRegressor",
    "Gradual",
    "GroupLasso",
    "GroupSNIP",
    "Magnitude",
]
