"""The last layer: what averaging gains, and sigmas of new crystals."""

from pathlib import Path

import numpy as np
import pytest

from matdisco.data.dataset import Dataset
from matdisco.errors import SurrogateError
from surrogates import metrics
from surrogates.calibration import z_scores
from surrogates.checkpoint import Checkpoint, load, read, write
from surrogates.tabular.last_layer import LastLayer, gain
from surrogates.tabular.recipes import LastLayerRecipe
from surrogates.testing import toy_crystals


def test_gain_is_the_error_of_an_average() -> None:
    draw = np.random.default_rng(0)
    n, members = 20_000, 6
    errors = draw.normal(size=n) + 0.8 * draw.normal(size=(members, n))
    one = np.sqrt((errors**2).mean())
    expected = np.sqrt((errors.mean(axis=0) ** 2).mean()) / one
    assert gain(errors[0], errors[1], members) == pytest.approx(expected, abs=0.01)
    # few records prove little: nearer to an average that gains nothing
    few = gain(errors[0, :5], -errors[0, :5], members)
    assert np.sqrt(10 / 15) < few < 1
    assert gain(np.zeros(4), np.zeros(4), members) == 1


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
    assert true < 0.98 and surrogate.averaging == pytest.approx(true, abs=0.05)
    # the records left out are told of one network, new crystals of the average
    rows, labels, held = surrogate.held_out()
    assert len(rows) == 120
    spread = float(np.sqrt((z_scores(labels, held) ** 2).mean()))
    assert spread == pytest.approx(1.0, abs=0.1)
    raw = surrogate._answer(surrogate._features(new.crystals))
    ratio = found.std / (surrogate.scale.k * raw.std)
    np.testing.assert_allclose(ratio, surrogate.averaging)


def test_a_checkpoint_with_fewer_networks_is_a_sentence(tmp_path: Path) -> None:
    data = Dataset("toy", tuple(toy_crystals(40)))
    surrogate = LastLayer(LastLayerRecipe(width=16, steps=20, threads=1), 1)
    surrogate.fit(data, "toy")
    surrogate.save(tmp_path / "now")
    whole = read(tmp_path / "now")
    # as versions before the extra network wrote it
    fewer = {k: a[:-1] if k.startswith("own_") else a for k, a in whole.arrays.items()}
    write(tmp_path / "before", Checkpoint(whole.recipe, whole.state, fewer))
    with pytest.raises(SurrogateError, match=r"before: written by .* fit it again"):
        load(tmp_path / "before")
