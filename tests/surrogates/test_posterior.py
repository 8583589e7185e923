"""PoolModel against closed forms and under BoTorch's own acquisition functions."""

import numpy as np
import pytest
import torch
from botorch.acquisition import (
    LogExpectedImprovement,
    UpperConfidenceBound,
    qLogExpectedImprovement,
    qUpperConfidenceBound,
)
from botorch.generation.sampling import MaxPosteriorSampling
from botorch.optim import optimize_acqf_discrete
from botorch.sampling import SobolQMCNormalSampler

from matdisco.errors import SurrogateError
from surrogates.base import Prediction
from surrogates.posterior import PoolModel

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
