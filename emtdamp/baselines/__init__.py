"""What EM-TDAMP is compared with.

    model = BaselineClassifier(Gradual(), (128,), sparsity=0.5, random_state=0).fit(X, y)

`BaselineClassifier` and `BaselineRegressor` train a network by a method: `Adam`, `Magnitude`,
`GroupLasso`, `GroupSNIP`, `Gradual`, `BayesByBackprop` or `AMP`. The other modules are baselines by
themselves; `bayes_by_backprop` has Keras layers with a Gaussian for every weight.
"""

from emtdamp.baselines.estimators import BaselineClassifier, BaselineRegressor
from emtdamp.baselines.methods import AMP, Adam, Gradual, GroupLasso, GroupSNIP, Magnitude
from emtdamp.baselines.variational import BayesByBackprop

__all__ = [
    "AMP",
    "Adam",
    "BaselineClassifier",
    "BaselineRegressor",
    "BayesByBackprop",
    "Gradual",
    "GroupLasso",
    "GroupSNIP",
    "Magnitude",
]
