"""EM-TDAMP: Bayesian message passing that trains and prunes neural networks, and its study.

`EMTDAMPClassifier`, `EMTDAMPRegressor`
    estimators as scikit-learn has them, with uncertainty, pruning and streams of rows
`Posterior`, `load_posterior`
    what a fit leaves: a distribution over weights that predicts, prunes, saves, becomes Keras's
`Predictive`, `ensemble`, `calibrate`
    predictive distributions of several regressors, and their variance put right by folds

Under them, each importing from those below it only:

`emtdamp.study`         what the book needs and a user does not
`emtdamp.baselines`     what it is compared with: the course report's program, gradients, AMP
`emtdamp.estimators`    rows and labels, scales, scikit-learn's contract
`emtdamp.training`      settings to a schedule, arrays to a posterior, compiled epochs
`emtdamp.messages`      the mathematics: DAMP (module A), the prior (module B), fixed points
`emtdamp.datasets`      MNIST, Boston housing, Musk, Fashion-MNIST, small tables, standard splits
`emtdamp.metrics`       scores of classes, of predictive distributions, of their calibration

Names are imported when they are asked for, so that ``import emtdamp`` needs no TensorFlow.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emtdamp.estimators.classifier import EMTDAMPClassifier
    from emtdamp.estimators.regressor import EMTDAMPRegressor
    from emtdamp.posterior import Posterior, load_posterior
    from emtdamp.predictive import Predictive, calibrate, ensemble

__version__ = version("emtdamp")
__all__ = [
    "EMTDAMPClassifier",
    "EMTDAMPRegressor",
    "Posterior",
    "Predictive",
    "calibrate",
    "ensemble",
    "load_posterior",
]

_HOMES = {
    "EMTDAMPClassifier": "emtdamp.estimators.classifier",
    "EMTDAMPRegressor": "emtdamp.estimators.regressor",
    "Posterior": "emtdamp.posterior",
    "Predictive": "emtdamp.predictive",
    "calibrate": "emtdamp.predictive",
    "ensemble": "emtdamp.predictive",
    "load_posterior": "emtdamp.posterior",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'emtdamp' has no attribute {name!r}")
    globals()[name] = found = getattr(import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
