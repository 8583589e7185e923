"""Gaussian processes: the exact one on arrays, and the surrogates made of it."""
