"""Workflows: which rows the next fit sees. One file each; `KNOWN` lists them."""

from simcollapse.workflows.accumulate import Accumulate, accumulate
from simcollapse.workflows.accumulate_subsample import AccumulateSubsample, accumulate_subsample
from simcollapse.workflows.replace import Replace, replace

KNOWN = {"replace": replace, "accumulate": accumulate, "accumulate_subsample": accumulate_subsample}

__all__ = [
    "KNOWN",
    "Accumulate",
    "AccumulateSubsample",
    "Replace",
    "accumulate",
    "accumulate_subsample",
    "replace",
]
