"""Replays: simulated campaigns on labelled data, strategies x seeds, with baselines."""
