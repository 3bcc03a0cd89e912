"""[Yi26]: verifier-guided retraining of a linear regression helps, plateaus or reverses (arXiv 2510.16657v3).

regimes     error over rounds for four verifier biases
phase_map   gain, plateau or reversal over (bias, radius, round)
paths       estimates in the plane, pulled to the truth and on to the knowledge center
real_data   the four regimes again, on a real table
"""
