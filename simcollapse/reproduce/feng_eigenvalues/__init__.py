"""Transformers retrained on eigenvalues that a transformer computed: [Feng24], section 6.1 (v2), at several scales.

What a claim asks, the statistic that answers and the seeds are fixed in `settings` and `picture` before a run. Scale
`quick` is another problem than the paper's, small enough for a processor: 2 x 2 matrices. Its numbers and picture are
in the gallery. `small` and `paper` are for an accelerator, and have not been run.
"""
