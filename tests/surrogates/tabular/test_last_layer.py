"""The last layer: what averaging gains, and sigmas of new crystals."""

from pathlib import Path

import numpy as np
import pytest

from matdisco.data.dataset import Dataset
from matdisco.errors import SurrogateError
from surrogates import metrics
from surrogates.calibration import few, z_scores
from surrogates.calibration.averaging import averaged
from surrogates.checkpoint import Checkpoint, load, read, write
from surrogates.tabular.last_layer import _RATIOS, LastLayer, likeliest
from surrogates.tabular.trained_recipes import LastLayerRecipe
from surrogates.testing import toy_crystals


def test_sigma_fits_the_average_not_one_network() -> None:
    data = toy_crystals(420)
    train, new = Dataset("toy", tuple(data[:120])), Dataset("new", tuple(data[120:]))
    recipe = LastLayerRecipe(width=16, steps=150, threads=1, calibration="scale")
    surrogate = LastLayer(recipe, 1)
    surrogate.fit(train, "toy")
    found, y = surrogate.predict(new.crystals), new.values("toy")
    phi = surrogate._last_hidden(surrogate._networks, surrogate._features(new.crystals))
    alone = [
        metrics.rmse(y, head.mean(own))
        for head, own in zip(surrogate._heads, phi, strict=True)
    ]
    one = float(np.sqrt(np.mean(np.square(alone))))
    true = metrics.rmse(y, found.mean) / one
    of_two = averaged(surrogate._alike, 2)
    assert true < 0.98 and surrogate.averaging < 1
    assert surrogate.averaging * of_two == pytest.approx(true, abs=0.05)
    # the records left out are told of two networks, new crystals of the average
    rows, labels, held = surrogate.held_out()
    assert len(rows) == 120
    spread = float(np.sqrt((z_scores(labels, held) ** 2).mean()))
    assert spread == pytest.approx(1.0, abs=0.1)
    raw = surrogate._answer(surrogate._features(new.crystals))
    ratio = found.std / (surrogate.steps.scale.k * raw.std)
    np.testing.assert_allclose(ratio, surrogate.averaging * few(120))


def test_a_checkpoint_with_fewer_networks_is_a_sentence(tmp_path: Path) -> None:
    data = Dataset("toy", tuple(toy_crystals(40)))
    surrogate = LastLayer(LastLayerRecipe(width=16, steps=20, threads=1), 1)
    surrogate.fit(data, "toy")
    surrogate.save(tmp_path / "now")
    whole = read(tmp_path / "now")
    # as versions with one network for a fold and one more wrote it
    fewer = {k: a[:-1] if k.startswith("own_") else a for k, a in whole.arrays.items()}
    write(tmp_path / "before", Checkpoint(whole.recipe, whole.state, fewer))
    with pytest.raises(SurrogateError, match=r"before: written by .* fit it again"):
        load(tmp_path / "before")


@pytest.mark.parametrize("n", [10, 20, 40, 100])
def test_few_labels_do_not_make_sigma_explode(n: int) -> None:
    """Networks that fit all they learnt: their evidence once made 4,000 eV/atom."""
    data, new = toy_crystals(n, seed=2), toy_crystals(60, seed=3)
    surrogate = LastLayer(LastLayerRecipe(steps=200, threads=1), 0)
    surrogate.fit(Dataset("toy", tuple(data)), "toy")
    found = surrogate.predict(new)
    spread = float(np.std([c.value("toy") for c in data]))
    assert np.sqrt((found.std**2).mean()) < 3 * spread
    errors = np.array([c.value("toy") for c in new]) - found.mean
    assert 0.3 < np.sqrt(np.mean((errors / found.std) ** 2)) < 3


def test_prior_and_noise_of_records_left_out_are_found() -> None:
    draw = np.random.default_rng(0)
    share = 10.0 / _RATIOS[:, None] * draw.uniform(0.5, 2.0, (1, 4000))
    at = 12
    errors = 0.3 * np.sqrt(1 + share[at]) * draw.normal(size=4000)
    ratio, noise = likeliest(np.tile(errors, (len(_RATIOS), 1)), share)
    assert _RATIOS[at] / 4 < ratio < 4 * _RATIOS[at]
    total = noise**2 * (1 + 12.5 / ratio)
    assert total == pytest.approx(0.3**2 * (1 + 12.5 / _RATIOS[at]), rel=0.1)
    # nothing to tell them by: the prior that trusts the features least
    assert likeliest(np.ones((len(_RATIOS), 9)), 0 * share[:, :9])[0] == _RATIOS[0]
