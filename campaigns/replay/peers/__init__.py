"""Other packages that choose from the same pool: named peers of the own strategies."""
