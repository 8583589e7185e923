"""Graph networks, one file per paper, each vectorised over ensemble members."""
