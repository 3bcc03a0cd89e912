"""[Kazdan24], "Collapse or Thrive?" (arXiv 2410.16713v4), without a verifier: three tasks, three workflows.

Its grid is d in {1, 3, 10, 31, 100} dimensions by n in {10, 32, 100, 316, 1000} rows a round, 100 chains, 100 rounds.
Each claim of the paper stands beside the closed form that qualifies it (`theory.workflows`) and the measurement.
"""
