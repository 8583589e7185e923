"""Screening: which candidates are not worth an evaluation, each with its reason."""
