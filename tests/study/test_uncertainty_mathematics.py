"""The mathematics of the post on Bayesian neural networks: what is set beside it is right."""

import numpy as np
import pytest
from scipy import integrate, stats

from emtdamp.study.chapters import uncertainty_mathematics as chapter


def free_energy(mean: float) -> float:
    """By quadrature: KL(q || prior) less the expected log likelihood."""
    q = stats.norm(mean, chapter.SD)

    def each(w: float) -> float:
        log_joint = stats.norm.logpdf(w) + stats.norm.logpdf(chapter.Y, w)
        return float(q.pdf(w) * (q.logpdf(w) - log_joint))

    return integrate.quad(each, -10, 10)[0]


def test_the_free_energy_and_the_posts_sum():
    bound, total = chapter.free_energy(100_000)
    assert bound == pytest.approx(free_energy(chapter.MEAN), abs=1e-8)
    assert total / 100_000 == pytest.approx(bound, abs=0.01)
    evidence, integral = chapter.evidence()
    assert evidence == pytest.approx(integral, rel=1e-9)
    assert bound >= -np.log(evidence)  # no lower than minus the log evidence


def test_the_gradient_is_that_of_the_free_energy():
    exact, estimate, error = chapter.gradient(50_000)
    step = 1e-4
    slope = (free_energy(chapter.MEAN + step) - free_energy(chapter.MEAN - step)) / (2 * step)
    assert exact == pytest.approx(slope, abs=1e-6)
    assert error == pytest.approx(2 * chapter.SD / 50_000**0.5, rel=0.02)
    assert abs(estimate - slope) < 4 * error


def test_the_divergence_of_two_gaussians():
    closed, integral = chapter.kl()
    assert closed == pytest.approx(integral, rel=1e-9) and closed > 0


def test_every_claim_is_settled():
    found = {claim.text: claim.outcome for claim in chapter.claims()}
    assert len(found) == 10
    for text, outcome in found.items():
        false = "sum over n" in text or "only way" in text or "intractable" in text
        if false or "differentiable" in text:
            assert outcome == "false by construction", text
        elif "non-convex" in text or "doubles" in text or "5 x 5" in text:
            assert outcome == "true by construction", text
