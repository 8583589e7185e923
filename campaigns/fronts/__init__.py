"""Several targets at once: the front, its hypervolume, and limits on what counts."""
