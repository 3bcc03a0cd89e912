"""Verifiers: which generated rows are accepted. One file each; `KNOWN` lists them."""

from simcollapse.verifiers.bernoulli import Bernoulli, bernoulli
from simcollapse.verifiers.confidence import Confidence, confidence
from simcollapse.verifiers.discriminator import Discriminator, discriminator
from simcollapse.verifiers.fresh_linear import FreshLinear, fresh_linear
from simcollapse.verifiers.from_function import FunctionVerifier, from_function
from simcollapse.verifiers.knowledge_ball import KnowledgeBall, knowledge_ball
from simcollapse.verifiers.likelihood import Likelihood, likelihood
from simcollapse.verifiers.linear import Linear, linear
from simcollapse.verifiers.none import NoVerifier, none
from simcollapse.verifiers.oracle import Oracle, oracle
from simcollapse.verifiers.random import Random, random
from simcollapse.verifiers.region import Region, region

KNOWN = {
    "none": none,
    "knowledge_ball": knowledge_ball,
    "bernoulli": bernoulli,
    "oracle": oracle,
    "random": random,
    "linear": linear,
    "fresh_linear": fresh_linear,
    "confidence": confidence,
    "likelihood": likelihood,
    "discriminator": discriminator,
    "region": region,
}

__all__ = [
    "KNOWN",
    "Bernoulli",
    "Confidence",
    "Discriminator",
    "FreshLinear",
    "FunctionVerifier",
    "KnowledgeBall",
    "Likelihood",
    "Linear",
    "NoVerifier",
    "Oracle",
    "Random",
    "Region",
    "bernoulli",
    "confidence",
    "discriminator",
    "fresh_linear",
    "from_function",
    "knowledge_ball",
    "likelihood",
    "linear",
    "none",
    "oracle",
    "random",
    "region",
]
