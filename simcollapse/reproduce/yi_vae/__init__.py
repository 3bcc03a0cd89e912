"""Verifier-guided retraining of image generators: [Yi26], section 5.2 (v3), at the scales that a machine has.

What a claim asks, the statistic that answers and the seeds are fixed in `settings` and `curves` before a run.
"""
