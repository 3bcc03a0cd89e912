"""Is a verifier good enough for its generator? phi, psi, p and p* with intervals, from labelled decisions.

import simcollapse as sc

report = sc.audit(correct=[1, 1, 1, 0, 1, 1], kept=[1, 1, 1, 0, 1, 1])
print(report.verdict, report.p_star, report.interval)

Needs no JAX, and reads files of any length in pieces.
"""

from simcollapse.auditing.auditor import audit, audit_file
from simcollapse.auditing.estimates import Estimates, Method
from simcollapse.auditing.report import Report, as_dict

__all__ = ["Estimates", "Method", "Report", "as_dict", "audit", "audit_file"]
