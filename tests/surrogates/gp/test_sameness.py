"""A term that rows of one group share with no others."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from campaigns.acquisition.pathwise import Paths
from campaigns.acquisition.process import PoolProcess
from surrogates.gp.exact import ExactGP
from surrogates.gp.kernels import Kernel, Term
from surrogates.gp.likelihood import choose

TERMS = [Term(0, 1), Term(1, 2, kind="same")]


def grouped(seed=0, groups=40, of=3):
    """A smooth part, one number per group of rows, and a little noise."""
    g = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), of)
    x = np.column_stack([g.uniform(-2, 2, len(group)), group])
    own = g.normal(0, 1.0, groups)
    y = np.sin(x[:, 0]) + own[group] + g.normal(0, 0.05, len(group))
    return x, y, own


def test_rows_of_a_group_are_alike_and_others_are_not():
    x, _, _ = grouped()
    kernel = Kernel((Term(1, 2, kind="same"),))
    np.testing.assert_array_equal(kernel(x, x), x[:, 1:] == x[:, 1])
    np.testing.assert_array_equal(kernel.diagonal(x), 1.0)


def test_a_group_met_once_is_known_and_a_new_one_is_not():
    x, y, own = grouped()
    gp = ExactGP.fit(x, y, terms=TERMS)
    at = np.array([[0.3, 5.0], [0.3, 999.0]])
    mean, std = gp.mean(at), np.sqrt(gp.variance(at))
    assert mean[0] == pytest.approx(np.sin(0.3) + own[5], abs=0.15)
    assert std[0] < 0.1
    assert std[1] > 0.5
    # without the term the group's number is noise, and the same for both
    plain = ExactGP.fit(x[:, :1], y)
    assert plain.noise > 0.3 > 10 * gp.noise


def test_its_weight_is_the_likeliest():
    x, y, _ = grouped(1)
    z = (y - y.mean()) / y.std()
    found = choose(x, z, TERMS, None)
    assert found.signal is not None

    def likelihood(weight):
        smooth, same = found.kernel.terms
        terms = (smooth, Term(1, 2, "same", weight=same.weight * weight))
        covariance = found.signal * Kernel(terms)(x, x)
        covariance += (found.signal * found.ratio + 1e-8) * np.eye(len(z))
        return float(multivariate_normal(cov=covariance).logpdf(z))

    assert likelihood(1.0) > max(likelihood(0.7), likelihood(1.4))


@pytest.mark.parametrize("single", [False, True])
def test_pool_process_and_paths_agree_with_the_exact_process(single):
    x, y, _ = grouped(2)
    gp = ExactGP.fit(x, y, terms=TERMS)
    process = PoolProcess.of(gp, single=single)
    pool = np.array([[0.1, 3.0], [1.1, 3.0], [0.1, 700.0], [-0.5, 700.0], [0.0, 800.0]])
    mean, variance = process.moments(pool)
    np.testing.assert_allclose(mean, gp.mean(pool), atol=2e-3)
    np.testing.assert_allclose(variance, gp.variance(pool), atol=2e-3)
    drawn = np.concatenate(
        [Paths(process, 64, np.random.default_rng(s))(pool) for s in range(16)], axis=1
    )
    covariance = gp.covariance(pool)
    assert np.abs(drawn.mean(axis=1) - mean).max() < 0.15 * np.sqrt(variance.max())
    assert np.abs(np.cov(drawn) - covariance).max() < 0.2 * variance.max()
    assert covariance[2, 3] > 0.8 * covariance[2, 2] > 10 * abs(covariance[2, 4])
