"""Data: datasets, how they are stored, and how they are split."""
