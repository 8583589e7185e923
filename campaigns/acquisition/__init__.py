"""Acquisition: which candidates of a pool to evaluate next."""
