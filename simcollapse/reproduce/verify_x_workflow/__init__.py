"""Verifiers and data workflows together: which of them decides where retraining ends?

cells          verifier x workflow x task, error over rounds
first_order    without a verifier: one number per workflow, and the exceptions to it
drift          accumulating slows the drift to the verifier's center to a power law
settings, predictions    what the first runs, and its closed forms
"""
