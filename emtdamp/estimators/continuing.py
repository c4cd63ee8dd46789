"""What may go on from a posterior: the network, columns and classes of a warm start or a stream."""

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from emtdamp.errors import UsageError
from emtdamp.training import recipes, starts

if TYPE_CHECKING:
    from emtdamp.estimators.base import EMTDAMP


def check_network(model: "EMTDAMP", X: ArrayLike, way_out: str) -> None:
    """Raise UsageError where the network or the number of columns is not the posterior's."""
    progress = getattr(model, "_progress", None)
    sizes = recipes.hidden(model.get_params())
    fitted = () if progress is None else starts.hidden(progress)
    if sizes != fitted:
        raise UsageError(
            f"hidden_layer_sizes={model.hidden_layer_sizes!r} cannot go on from a posterior of "
            f"{fitted}; give {fitted}, or {way_out}"
        )
    if progress is not None and model.activation != model.posterior_.activation:
        raise UsageError(
            f"activation={model.activation!r} cannot go on from weights that were learnt with "
            f"{model.posterior_.activation!r}; give {model.posterior_.activation!r}, or {way_out}"
        )
    shape = np.shape(X)
    if len(shape) == 2 and shape[1] != model.n_features_in_:
        raise UsageError(
            f"X has {shape[1]} features, but {type(model).__name__} is expecting "
            f"{model.n_features_in_} features as input, as its posterior has; give these, or "
            f"{way_out}"
        )


def check_data(model: "EMTDAMP", X: Any, y: np.ndarray) -> None:
    """Raise UsageError where classes are missing, or columns vary that the posterior ignores."""
    classes = getattr(model, "classes_", None)
    if classes is not None and len(np.unique(y)) < len(classes):
        raise UsageError(
            f"y has the classes {classes[np.unique(y)]}, which cannot go on from a posterior "
            f"of {classes}; give all of these, use partial_fit, or set warm_start=False"
        )
    new = _new_columns(model, X)
    if len(new):
        raise UsageError(
            f"columns {new} of X vary, but were constant in the fit that warm_start goes on "
            "from, which has no weights for them; set warm_start=False"
        )


def warn_of_new_columns(model: "EMTDAMP", X: Any) -> None:
    """Say which columns of a later batch are left out."""
    new = _new_columns(model, X)
    if len(new):
        warnings.warn(
            f"columns {new} of X vary, but were constant in the rows that the scales are from, "
            "and are left out; begin with rows in which they vary",
            stacklevel=4,
        )


def _new_columns(model: "EMTDAMP", X: Any) -> np.ndarray:
    """Those that vary here, but have no weights."""
    with np.errstate(over="ignore"):
        return np.flatnonzero(~model._scaling.live & (np.ptp(X, axis=0) > 0))
