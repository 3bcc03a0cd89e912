"""Verifiers: which generated rows are accepted. One file each; `KNOWN` lists them."""

from simcollapse.verifiers.from_function import FunctionVerifier, from_function
from simcollapse.verifiers.knowledge_ball import KnowledgeBall, knowledge_ball
from simcollapse.verifiers.none import NoVerifier, none

KNOWN = {"none": none, "knowledge_ball": knowledge_ball}

__all__ = [
    "KNOWN",
    "FunctionVerifier",
    "KnowledgeBall",
    "NoVerifier",
    "from_function",
    "knowledge_ball",
    "none",
]
