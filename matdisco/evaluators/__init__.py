"""Evaluators: what answers a question about a candidate, and at what price."""
