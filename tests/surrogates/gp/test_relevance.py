"""Relevance: the gradient, what it finds, and that it feeds the exact process."""

import numpy as np
import pytest
from scipy.optimize import check_grad

from surrogates.featurizers.table import Standardizer
from surrogates.gp.exact import ExactGP
from surrogates.gp.kernels import Kernel, Term
from surrogates.gp.likelihood import Hyper
from surrogates.gp.relevance import loss, relevance


def data(n=40, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 4))
    y = np.sin(2 * x[:, 1]) + 0.3 * x[:, 3] + 0.01 * rng.standard_normal(n)
    return x, (y - y.mean()) / y.std()


def test_the_gradient_is_that_of_the_loss():
    x, z = data(15)
    squared = (x[:, None] - x[None]) ** 2
    rng = np.random.default_rng(1)
    for _ in range(3):
        theta = np.append(rng.normal(1, 1, 4), rng.normal(-3, 1))
        gap = check_grad(
            lambda t: loss(t, squared, z, 1.5)[0],
            lambda t: loss(t, squared, z, 1.5)[1],
            theta,
        )
        assert gap < 1e-4


def test_columns_that_say_nothing_get_long_lengths():
    x, z = data()
    found = relevance(x, z)
    assert found.lengths.argmin() == 1
    assert min(found.lengths[[0, 2]]) > 3 * found.lengths[1]
    assert found.ratio < 0.05
    again = relevance(x, z)
    assert (again.lengths == found.lengths).all()
    # of two labels nothing can be learnt: all columns count alike
    few = relevance(x[:2], np.array([1.0, -1.0]))
    assert np.isfinite(few.lengths).all() and np.ptp(np.log(few.lengths)) < 2


def test_with_lengths_the_process_predicts_better_than_with_one_for_all():
    x, z = data()
    there, truth = data(200, seed=5)
    found = relevance(x, z)
    own = Standardizer.of(x)
    gp = ExactGP.fit(
        x, z, hyper=Hyper(Kernel((Term(0, 4),)), found.ratio),
        standard=Standardizer(own.mean, own.std * found.lengths),
    )  # fmt: skip
    plain = ExactGP.fit(x, z)
    errors = [np.abs(g.mean(there) - truth).mean() for g in (gp, plain)]
    assert errors[0] < 0.8 * errors[1]
    assert gp.mean(x) == pytest.approx(z, abs=0.2)
