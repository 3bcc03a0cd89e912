"""Transformers that compute eigenvalues, retrained on what they compute; verifiers that know the truth or do not.

Source: [Feng24], sections 3 and 6.1 (v2).
"""
