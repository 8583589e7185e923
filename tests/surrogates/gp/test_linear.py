"""Bayesian linear regression: closed forms, and a decomposition that gives up."""

import numpy as np
import pytest

from surrogates.gp.linear import BayesianLinear, along


def table(n: int = 40, d: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, d))
    return x, x @ rng.normal(size=d) + 0.1 * rng.normal(size=n)


def test_leaving_one_out_in_closed_form_is_leaving_it_out() -> None:
    x, y = table()
    line = BayesianLinear.fit(x, y)
    for row in (0, 7):
        rest = np.arange(len(y)) != row
        again = BayesianLinear.fit(x[rest], y[rest])
        # the ratio of noise to prior and the scaling are chosen anew: nearly the same
        assert again.mean(x[[row]])[0] == pytest.approx(line.held_mean[row], abs=0.02)


def test_a_decomposition_that_gives_up_is_done_the_plain_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = table()
    fast = BayesianLinear.fit(x, y)

    def gives_up(*_: object, **__: object) -> None:
        raise np.linalg.LinAlgError("SVD did not converge")

    monkeypatch.setattr(np.linalg, "svd", gives_up)
    plain = BayesianLinear.fit(x, y)
    np.testing.assert_allclose(plain.coefficients, fast.coefficients)
    np.testing.assert_allclose(plain.held_std, fast.held_std)
    np.testing.assert_allclose(
        plain.root.T @ plain.root, fast.root.T @ fast.root, atol=1e-12
    )


def test_fits_along_the_ratios_are_fits_with_each() -> None:
    for n, d in ((40, 6), (6, 40)):  # also with fewer rows than columns
        x, y = table(n + 9, d)
        means, shares = along(x[:n], y[:n], x[n:], np.array([0.1, 10.0]))
        for ratio, mean, share in zip((0.1, 10.0), means, shares, strict=True):
            line = BayesianLinear.fit(x[:n], y[:n], given=(ratio, 0.5))
            assert line.noise == pytest.approx(0.5)
            np.testing.assert_allclose(line.mean(x[n:]), mean)
            latent = (line.factors(x[n:]) ** 2).sum(axis=0)
            np.testing.assert_allclose(latent, 0.5**2 * share)
