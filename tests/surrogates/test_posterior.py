"""PoolModel against closed forms and under BoTorch's own acquisition functions."""

import numpy as np
import pytest
import torch
from botorch.acquisition import (
    LogExpectedImprovement,
    UpperConfidenceBound,
    qExpectedImprovement,
    qLogExpectedImprovement,
    qUpperConfidenceBound,
)
from botorch.generation.sampling import MaxPosteriorSampling
from botorch.optim import optimize_acqf_discrete
from botorch.sampling import SobolQMCNormalSampler
from botorch.sampling.index_sampler import IndexSampler

from matdisco.data.dataset import Dataset
from matdisco.errors import SurrogateError
from surrogates.base import Prediction
from surrogates.posterior import AllMembers, MembersModel, PoolModel, to_botorch
from surrogates.recipes import RandomForestRecipe
from surrogates.testing import toy_crystals

draw = np.random.default_rng(0)
POOL = Prediction(
    draw.normal(size=50), draw.normal(size=(5, 50)), draw.uniform(0.1, 0.5, 50)
)
MODEL = PoolModel(POOL)


def at(*rows: int) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.double).unsqueeze(-1)


def test_joint_posterior_is_the_prediction() -> None:
    rows = [4, 17, 33, 2]
    posterior = MODEL.posterior(at(*rows))
    np.testing.assert_allclose(posterior.mean[:, 0].numpy(), POOL.mean[rows])
    np.testing.assert_allclose(
        posterior.distribution.covariance_matrix.numpy(),
        POOL.covariance[np.ix_(rows, rows)], atol=1e-8,
    )  # fmt: skip
    batch = MODEL.posterior(MODEL.choices().unsqueeze(1))  # 50 x 1 x 1
    np.testing.assert_allclose(batch.variance[:, 0, 0].numpy(), POOL.std**2, rtol=1e-6)


def test_the_same_candidate_twice_is_one_candidate() -> None:
    covariance = MODEL.posterior(at(3, 3)).distribution.covariance_matrix
    np.testing.assert_allclose(covariance.numpy(), POOL.std[3] ** 2, rtol=1e-6)


def test_acquisition_functions() -> None:
    x = MODEL.choices().unsqueeze(1)
    upper = UpperConfidenceBound(MODEL, beta=4.0)(x).numpy()
    np.testing.assert_allclose(upper, POOL.mean + 2 * POOL.std, rtol=1e-6)
    assert torch.isfinite(LogExpectedImprovement(MODEL, best_f=1.0)(x)).all()
    sampler = SobolQMCNormalSampler(torch.Size([64]), seed=0)
    for function in (
        qLogExpectedImprovement(MODEL, best_f=1.0, sampler=sampler),
        qUpperConfidenceBound(MODEL, beta=1.0, sampler=sampler),
    ):
        chosen, _ = optimize_acqf_discrete(function, q=3, choices=MODEL.choices())
        assert len(set(chosen[:, 0].tolist())) == 3
    with torch.random.fork_rng():
        torch.manual_seed(0)
        picked = MaxPosteriorSampling(MODEL, replacement=False)(
            MODEL.choices(), num_samples=4
        )
    assert len(set(picked[:, 0].tolist())) == 4


def test_what_it_cannot_honour_is_refused() -> None:
    with pytest.raises(SurrogateError, match="observation_noise"):
        MODEL.posterior(at(1), observation_noise=True)
    with pytest.raises(SurrogateError, match="output_indices"):
        MODEL.posterior(at(1), output_indices=[1])
    with pytest.raises(SurrogateError, match="outside a pool of 50"):
        MODEL.posterior(at(50))
    with pytest.raises(SurrogateError, match="batch x q x 1"):
        MODEL.posterior(torch.zeros(3, 2, dtype=torch.double))


def test_diagonal_prediction() -> None:
    model = PoolModel(Prediction(np.zeros(4), np.zeros((0, 4)), np.ones(4)))
    covariance = model.posterior(at(0, 1)).distribution.covariance_matrix
    np.testing.assert_allclose(covariance.numpy(), np.eye(2), atol=1e-8)


MEMBERS = np.random.default_rng(5).normal(size=(6, 40))


@pytest.mark.filterwarnings(  # it recommends the logarithm; the exact value is wanted
    "ignore:qExpectedImprovement has known:botorch.exceptions.warnings.NumericsWarning"
)
def test_all_members_make_expected_improvement_exact() -> None:
    model = MembersModel(MEMBERS)
    function = qExpectedImprovement(model, best_f=0.5, sampler=AllMembers(6))
    found = function(model.choices().unsqueeze(1)).numpy()
    exact = np.maximum(MEMBERS - 0.5, 0).mean(axis=0)
    np.testing.assert_allclose(found, exact, atol=1e-12)
    same = torch.full((200, 1, 1), 7.0, dtype=torch.double)
    assert function(same).std() < 1e-12, "one candidate has one value"
    pair = function(at(7, 11).reshape(1, 2, 1)).item()
    best = np.maximum(MEMBERS[:, [7, 11]].max(axis=1) - 0.5, 0).mean()
    assert pair == pytest.approx(best, abs=1e-12)


@pytest.mark.filterwarnings(  # it recommends the logarithm; the exact value is wanted
    "ignore:qExpectedImprovement has known:botorch.exceptions.warnings.NumericsWarning"
)
def test_the_default_sampler_is_what_all_members_repairs() -> None:
    model = MembersModel(MEMBERS)
    function = qExpectedImprovement(
        model, best_f=0.5, sampler=IndexSampler(torch.Size([6]), seed=0)
    )
    same = torch.full((200, 1, 1), 7.0, dtype=torch.double)
    assert function(same).std() > 0.01


def test_any_surrogate_becomes_a_botorch_model() -> None:
    crystals = toy_crystals(30)
    surrogate = RandomForestRecipe(trees=10, threads=1).build(0)
    surrogate.fit(Dataset("toy", tuple(crystals[:20])), "toy")
    model = to_botorch(surrogate, crystals)
    chosen, _ = optimize_acqf_discrete(
        LogExpectedImprovement(model, best_f=0.0), q=1, choices=model.choices()
    )
    assert 0 <= int(chosen.item()) < 30
