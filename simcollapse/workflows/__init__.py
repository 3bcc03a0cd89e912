"""Workflows: which rows the next fit sees. One file each; `KNOWN` lists them."""

from simcollapse.workflows.accumulate import Accumulate, accumulate
from simcollapse.workflows.accumulate_subsample import AccumulateSubsample, accumulate_subsample
from simcollapse.workflows.contaminated import Contaminated, contaminated
from simcollapse.workflows.delete_real import DeleteReal, delete_real
from simcollapse.workflows.fresh_real import FreshReal, fresh_real
from simcollapse.workflows.replace import Replace, replace
from simcollapse.workflows.sliding_window import SlidingWindow, sliding_window

KNOWN = {
    "replace": replace,
    "accumulate": accumulate,
    "accumulate_subsample": accumulate_subsample,
    "fresh_real": fresh_real,
    "contaminated": contaminated,
    "sliding_window": sliding_window,
    "delete_real": delete_real,
}
BARE = ("replace", "accumulate", "accumulate_subsample")  # known by name alone: they need no argument

__all__ = [
    "BARE",
    "KNOWN",
    "Accumulate",
    "AccumulateSubsample",
    "Contaminated",
    "DeleteReal",
    "FreshReal",
    "Replace",
    "SlidingWindow",
    "accumulate",
    "accumulate_subsample",
    "contaminated",
    "delete_real",
    "fresh_real",
    "replace",
    "sliding_window",
]
