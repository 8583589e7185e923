"""Fixed-length descriptions of crystals for kernels and trees."""
