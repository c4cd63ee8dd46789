"""The committed NUTS table is converged, and its script still gives it."""

import numpy as np
import pytest

from emtdamp.baselines import nuts

pytestmark = pytest.mark.slow


def test_table_is_converged():
    table = nuts.table()
    np.testing.assert_allclose(table["x"], nuts.GRID)
    assert table["rhat"].max() < 1.01 and table["ess"].min() > 400


@pytest.mark.filterwarnings("ignore:TensorFloat-32:UserWarning")
@pytest.mark.filterwarnings("ignore:distutils Version classes:DeprecationWarning")
def test_a_short_run_agrees_with_the_table():
    table, chains = nuts.table(), 16
    values = nuts.sample(chains, warm_up=600, draws=200, seed=1)
    mean, sd = values.mean((0, 1)), values.std((0, 1))
    error = values.mean(0).std(0, ddof=1) / np.sqrt(chains)  # between chains, so honest
    assert (np.abs(mean - table["mean"]) < 5 * error + 1e-3).all()
    np.testing.assert_allclose(sd, table["sd"], rtol=0.15)
