"""The exact process against its definition, scikit-learn and brute force."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from matdisco.data.dataset import Dataset
from matdisco.data.shipped import resolve
from matdisco.errors import SurrogateError
from surrogates.calibration import few
from surrogates.featurizers.table import blocks
from surrogates.gp import exact, kernels
from surrogates.gp.exact import ExactGP
from surrogates.gp.kernels import Kernel, Term, distances, matern52
from surrogates.gp.likelihood import Hyper, choose
from surrogates.recipes import GaussianProcessRecipe
from surrogates.tabular.gaussian_process import GaussianProcess
from surrogates.tabular.transforms import NINETY
from surrogates.testing import toy_crystals

draw = np.random.default_rng(1)
X = draw.normal(size=(60, 3)) * [1.0, 10.0, 0.1] + [0, 5, 0]
Y = np.sin(X[:, 0]) + 0.1 * X[:, 1] + 0.05 * draw.normal(size=60) + 7.0
B = draw.normal(size=(9, 3)) * [1.0, 10.0, 0.1] + [0, 5, 0]


def by_definition(gp: ExactGP, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solve the normal equations of the posterior with the plain inverse."""
    inverse = np.linalg.inv(gp.kernel(X, X) + np.diag(noise))
    cross = gp.kernel(B, X)
    mean = Y.mean() + cross @ inverse @ (Y - Y.mean())
    return mean, gp.kernel(B, B) - cross @ inverse @ cross.T


def test_posterior_is_its_definition() -> None:
    gp = ExactGP.fit(X, Y)
    mean, covariance = by_definition(gp, np.full(60, gp.noise))
    np.testing.assert_allclose(gp.mean(B), mean, rtol=1e-7)
    np.testing.assert_allclose(gp.covariance(B), covariance, atol=1e-8)
    np.testing.assert_allclose(gp.variance(B), np.diag(covariance), atol=1e-8)
    v = gp.whiten(B)
    assert v.shape == (60, 9)
    np.testing.assert_allclose(gp.kernel(B, B) - v.T @ v, covariance, atol=1e-8)
    np.testing.assert_allclose(
        gp.lower @ gp.lower.T, gp.kernel(X, X) + gp.noise * np.eye(60), atol=1e-9
    )


def test_agrees_with_scikit_learn() -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern

    gp = ExactGP.fit(X, Y)
    length = gp.hyper.kernel.terms[0].length
    kernel = ConstantKernel(gp.amplitude**2) * Matern(length, nu=2.5)
    other = GaussianProcessRegressor(kernel, alpha=gp.noise, optimizer=None)
    other.fit(gp.standard(X), Y - Y.mean())
    mean, std = other.predict(gp.standard(B), return_std=True)
    np.testing.assert_allclose(gp.mean(B), mean + Y.mean(), rtol=1e-6)
    np.testing.assert_allclose(gp.variance(B), std**2, rtol=1e-5, atol=1e-9)


def test_hyperparameters_maximise_the_likelihood() -> None:
    gp = ExactGP.fit(X, Y)

    def likelihood(hyper: Hyper) -> float:
        fixed = ExactGP.fit(X, Y, hyper=hyper)
        joint = multivariate_normal(cov=fixed.lower @ fixed.lower.T)
        return float(joint.logpdf(Y - Y.mean()))

    best = likelihood(gp.hyper)
    for length in (0.7, 1.4):
        for ratio in (0.5, 2.0):
            own = gp.hyper.kernel.terms[0]
            moved = Kernel((Term(0, 3, length=own.length * length),))
            other = Hyper(moved, gp.hyper.ratio * ratio)
            assert likelihood(other) < best + 0.5  # half a nat: the grid's own step


@pytest.mark.parametrize("noise", [0.04, np.geomspace(0.001, 1.0, 60)])
def test_known_noise_is_kept(noise: float | np.ndarray) -> None:
    gp = ExactGP.fit(X, Y, noise=noise)
    np.testing.assert_allclose(gp.noise, noise)
    mean, covariance = by_definition(gp, np.broadcast_to(noise, 60))
    np.testing.assert_allclose(gp.mean(B), mean, rtol=1e-7)
    np.testing.assert_allclose(gp.covariance(B), covariance, atol=1e-7)


def test_leave_one_out_is_leaving_one_out() -> None:
    gp = ExactGP.fit(X, Y)
    errors, std = gp.leave_one_out(gp.inverse())
    rest = np.arange(1, 60)
    k = gp.kernel(X, X)
    noisy = k[np.ix_(rest, rest)] + gp.noise * np.eye(59)
    mean = Y.mean() + k[0, rest] @ np.linalg.solve(noisy, Y[rest] - Y.mean())
    left = k[0, 0] + gp.noise - k[0, rest] @ np.linalg.solve(noisy, k[rest, 0])
    assert errors[0] == pytest.approx(Y[0] - mean, abs=1e-8)
    assert std[0] == pytest.approx(np.sqrt(left), abs=1e-8)


def test_bad_arrays_are_refused() -> None:
    for x, y, noise in (
        (X, Y[:5], None),
        (X[:, 0], Y, None),
        (X[:0], Y[:0], None),
        (np.where(X > 0, X, np.nan), Y, None),
        (X, Y, -1.0),
        (X, Y, np.ones(3)),
    ):
        with pytest.raises(SurrogateError):
            ExactGP.fit(x, y, noise=noise)


def test_distances_are_distances() -> None:
    np.testing.assert_allclose(
        distances(X, B), np.linalg.norm(X[:, None] - B[None], axis=-1), rtol=1e-9
    )
    assert (np.diag(distances(X, X)) == 0).all()
    assert matern52(np.array([1.0]))[0] == pytest.approx(0.52399411)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What large sets are computed by, on small ones: as in one piece."""
    whole = ExactGP.fit(X, Y, terms=SUM)
    far = np.concatenate([B, X])
    expected = whole.kernel(far, far)
    monkeypatch.setattr(kernels, "_AT_ONCE", 7 * len(X))
    monkeypatch.setattr(exact, "_AT_ONCE", 4 * len(X))
    monkeypatch.setattr(exact, "_SMALL", 10)
    parts = ExactGP.fit(X, Y, hyper=whole.hyper)
    by_hand = np.linalg.inv(whole.lower @ whole.lower.T)
    np.testing.assert_allclose(np.tril(parts.inverse()), np.tril(by_hand), atol=1e-6)
    for old, new in zip(
        whole.leave_one_out(by_hand), parts.leave_one_out(parts.inverse()), strict=True
    ):
        np.testing.assert_allclose(new, old, rtol=1e-6, atol=1e-9)
    assert len(parts._blocks(len(far))) == 18 and (np.triu(parts.lower, 1) == 0).all()
    np.testing.assert_allclose(parts.lower, whole.lower, atol=1e-9)
    np.testing.assert_allclose(parts.mean(far), whole.mean(far), rtol=1e-9)
    np.testing.assert_allclose(parts.variance(far), whole.variance(far), atol=1e-9)
    np.testing.assert_allclose(parts.kernel(far, far), expected, atol=1e-9)
    diagonal = np.diag(parts.kernel(far, far))
    np.testing.assert_allclose(diagonal, np.diag(expected), rtol=1e-14)


SUM = [Term(0, 1), Term(1, 3), Term(0, 3, kind="linear")]


@pytest.mark.parametrize("noise", [None, 0.01])
def test_sums_of_terms(noise: float | None) -> None:
    gp = ExactGP.fit(X, Y, terms=SUM, noise=noise)
    assert sum(t.weight for t in gp.hyper.kernel.terms) == pytest.approx(1.0)
    mean, covariance = by_definition(gp, np.full(60, gp.noise))
    np.testing.assert_allclose(gp.mean(B), mean, rtol=1e-6)
    np.testing.assert_allclose(gp.variance(B), np.diag(covariance), atol=1e-7)
    np.testing.assert_allclose(
        np.diag(gp.kernel(B, B)),
        gp.amplitude**2 * gp.hyper.kernel.diagonal(gp.standard(B)),
    )
    again = ExactGP.fit(X, Y, noise=noise, hyper=gp.hyper)
    np.testing.assert_array_equal(again.mean(B), gp.mean(B))


def test_the_climb_ends_where_the_likelihood_is_flat() -> None:
    x = (X - X.mean(axis=0)) / X.std(axis=0)
    z = (Y - Y.mean()) / Y.std()
    found = choose(x, z, SUM, None)

    def likelihood(hyper: Hyper) -> float:
        assert hyper.signal is not None
        covariance = hyper.signal * hyper.kernel(x, x)
        covariance += (hyper.signal * hyper.ratio + 1e-8) * np.eye(60)
        return float(multivariate_normal(cov=covariance).logpdf(z))

    best = likelihood(found)
    for k in range(3):
        for factor in (0.8, 1.25):
            terms = list(found.kernel.terms)
            terms[k] = replace(terms[k], weight=terms[k].weight * factor)
            moved = Hyper(Kernel(tuple(terms)), found.ratio, found.signal)
            assert likelihood(moved) < best + 1e-3


def test_surrogate_reports_the_process_with_its_noise() -> None:
    data = Dataset("toy", tuple(toy_crystals(40)))
    surrogate = GaussianProcess(GaussianProcessRecipe(calibration_prior=0))
    report = surrogate.fit(data, "toy")
    process = surrogate.process
    assert process is not None and report.metrics["spearman"] > 0.4
    raw = surrogate._raw
    found = surrogate.predict(data.crystals)
    np.testing.assert_allclose(found.mean, process.mean(raw))
    expected = process.covariance(raw) + process.noise * np.eye(40)
    wider = surrogate.steps.scale.k * few(40)
    np.testing.assert_allclose(found.covariance / wider**2, expected, atol=1e-7)


def test_groups_left_out_are_predicted_by_the_others():
    gp = ExactGP.fit(X, Y)
    whole = gp.kernel(X, X) + gp.noise * np.eye(len(X))
    groups = [np.arange(7), np.array([3, 59]), np.array([20])]
    left = gp.leave_groups_out(groups, gp.inverse())
    for rows, (errors, std) in zip(groups, left, strict=True):
        rest = np.setdiff1d(np.arange(len(X)), rows)
        inverse = np.linalg.inv(whole[np.ix_(rest, rest)])
        cross = whole[np.ix_(rows, rest)]
        mean = gp.centre + cross @ inverse @ (Y[rest] - gp.centre)
        np.testing.assert_allclose(errors, Y[rows] - mean, rtol=1e-6, atol=1e-8)
        covariance = whole[np.ix_(rows, rows)] - cross @ inverse @ cross.T
        np.testing.assert_allclose(std, np.sqrt(np.diag(covariance)), rtol=1e-6)
    one = gp.leave_groups_out([np.array([i]) for i in range(len(X))], gp.inverse())
    errors, std = gp.leave_one_out(gp.inverse())
    np.testing.assert_allclose([e[0] for e, _ in one], errors, rtol=1e-9)
    np.testing.assert_allclose([s[0] for _, s in one], std, rtol=1e-9)


def test_a_sum_of_kernels_does_not_end_as_white_noise():
    """The likelihood has a maximum at no length at all; the climb once ended there."""
    records = Dataset.open(resolve("shipped:intermetallics"))
    y = records.values("energy_per_atom")
    rows = np.random.default_rng(2).permutation(np.flatnonzero(np.isfinite(y)))[:400]
    parts = blocks("composition+environments", records.take(rows).crystals)
    x, y = np.concatenate(parts, axis=1), y[rows]
    width = parts[0].shape[1]
    both = [Term(0, width), Term(width, x.shape[1])]
    one = ExactGP.fit(x[:250], y[:250], terms=[Term(0, x.shape[1])])
    two = ExactGP.fit(x[:250], y[:250], terms=both)
    errors = [np.abs(p.mean(x[250:]) - y[250:]).mean() for p in (one, two)]
    assert errors[1] < 1.5 * errors[0] < 0.5 * np.abs(y[250:] - y[:250].mean()).mean()
    # every block keeps a length over which its rows know of each other
    assert all(t.length > 1.0 for t in two.hyper.kernel.terms)


def test_few_labels_still_cover_new_crystals() -> None:
    """Twelve labels, sixteen draws: errors left out share a mean and a size."""
    inside, as_left_out = [], []
    for seed in range(16):
        crystals = toy_crystals(112, seed=seed)
        surrogate = GaussianProcess(GaussianProcessRecipe())
        surrogate.fit(Dataset("few", tuple(crystals[:12])), "toy")
        found = surrogate.predict(crystals[12:])
        truth = np.array([c.value("toy") for c in crystals[12:]])
        errors = np.abs(truth - found.mean) / (NINETY * found.std)
        inside.append(np.mean(errors < 1))
        as_left_out.append(np.mean(errors * few(12) < 1))
    assert np.mean(as_left_out) + 0.015 < np.mean(inside) < 0.93
    assert np.mean(inside) > 0.87
