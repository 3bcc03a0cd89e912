"""Variational autoencoders of images, retrained on what they make; discriminators as verifiers.

Source: [Yi26], section 5.2 (v3).
"""
