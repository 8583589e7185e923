"""A network pretrained on other crystals, as a prior mean and as features."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from campaigns.replay.pools import Pool
from matdisco.errors import ConfigError


@lru_cache(maxsize=1)
def latents(pool: Pool) -> tuple[np.ndarray, np.ndarray]:
    """Return the base network's prediction, (n,), and its members', (n, members).

    Raises:
        ConfigError: always; not every pool has a pretrained network.
    """
    raise ConfigError("features 'network': no pretrained network for this pool")
