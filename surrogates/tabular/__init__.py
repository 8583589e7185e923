"""Surrogates on fixed features of crystals: a table in, a joint Gaussian out."""
