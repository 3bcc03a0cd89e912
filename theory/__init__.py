"""Closed forms for model retraining on synthetic data: NumPy and SciPy, float64, one file per result.

The simulator `simcollapse` never imports this package and this package never imports the simulator:
they were written apart, so that their agreement is evidence.

Rounds are counted from 0: round 0 is the fit on real data. Names end in `_exact` (holds for every
sample size), `_bound`, `_limit`, `_asymptotic` (the limit is named) or `_delta` (first order in
1/n around the exact mean path); trajectories called linearised are exact for small deviations only.

Keys used after `Source:` in the docstrings:

* [Yi26] Yi, Liu, Cheng, Xu, Escaping Model Collapse via Synthetic Data Verification, arXiv:2510.16657
* [Feng24] Feng, Dohmatob, Yang, Charton, Kempe, Beyond Model Collapse, arXiv:2406.07515
* [Firdoussi24] Firdoussi et al., Maximizing the Potential of Synthetic Data, arXiv:2410.08942
* [Kazdan24] Kazdan et al., Collapse or Thrive?, arXiv:2410.16713
* [Shumailov24] Shumailov et al., AI Models Collapse When Trained on Recursively Generated Data, arXiv:2305.17493
* [Gerstgrasser24] Gerstgrasser et al., Is Model Collapse Inevitable?, arXiv:2404.01413
* [Dohmatob24] Dohmatob, Feng, Kempe, Model Collapse Demystified, arXiv:2402.07712
* [Dohmatob24b] Dohmatob, Feng, Subramonian, Kempe, Strong Model Collapse, arXiv:2410.04840
* [He25] He et al., arXiv:2502.18049 (weight of fresh real data, golden ratio)
* [Garg25] Garg et al., arXiv:2509.22341 (synthetic labels mixed with fresh ones in regression)
"""

from theory import breakdown, knowledge_center, truncated_normal, workflows

__all__ = ["breakdown", "knowledge_center", "truncated_normal", "workflows"]
