"""Tasks: what is modelled. One file each; `KNOWN` lists them."""

from simcollapse.tasks.discrete import Discrete, discrete
from simcollapse.tasks.gaussian import Gaussian, gaussian
from simcollapse.tasks.gaussian_mixture import GaussianMixture, gaussian_mixture, half_space
from simcollapse.tasks.generators import fitted, flips, fresh_linear_labels, linear_labels
from simcollapse.tasks.kde import Kde, kde
from simcollapse.tasks.linear_regression import LinearRegression, linear_regression

KNOWN = {
    "linear_regression": linear_regression,
    "gaussian_mixture": gaussian_mixture,
    "gaussian": gaussian,
    "discrete": discrete,
    "kde": kde,
    "half_space": half_space,
}

__all__ = [
    "KNOWN",
    "Discrete",
    "Gaussian",
    "GaussianMixture",
    "Kde",
    "LinearRegression",
    "discrete",
    "fitted",
    "flips",
    "fresh_linear_labels",
    "gaussian",
    "gaussian_mixture",
    "half_space",
    "kde",
    "linear_labels",
    "linear_regression",
]
