"""Does verifier-guided retraining help, plateau or reverse? The error over rounds for four verifier biases.

The prediction is the exact chain (no linearisation, no normality, dropped rows counted); linearised form and
published bound are drawn in lighter style.
"""

import dataclasses
import json

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import simcollapse as sc
from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate, over_chains, standard_error
from simcollapse.reproduce.yi_regimes import trajectories
from simcollapse.reproduce.yi_regimes.trajectories import RATIOS
from simcollapse.schedules import resolve
from theory import knowledge_center, truncated_normal

NAME = "yi-regimes"
RADIUS = 1.75  # of the verifier in every picture but the map


@dataclasses.dataclass(frozen=True)
class Setting:
    """The experiment that `regimes`, `phase_map` and `paths` share; counts are rows per direction."""

    dim: int = 2
    sigma: float = 1.0  # noise of a response, its unit
    n_real: int = 20
    n_first: int = 200  # rows generated in round 1, before verification
    growth: float = 1.1  # … and that many times more in each later round
    rounds: int = 12

    def simulate(
        self,
        biases: list[float],
        radii: list[float],
        direction: np.ndarray,
        chains: int,
        seed: int,
        block_size: int | None,
    ) -> xr.Dataset:
        """Chains by (bias, radius), estimates recorded; equal block sizes share one compiled program."""
        result = sc.sweep(
            sc.linear_regression(np.zeros(self.dim), noise=self.sigma, design="orthogonal"),
            sc.knowledge_ball(bias=0.0, direction=direction, radius=1.0),
            sc.replace(),
            over={"verifier.bias": biases, "verifier.radius": radii},
            n_real=self.n_real,
            n_per_round=self.schedule,
            rounds=self.rounds,
            chains=chains,
            seed=seed,
            record_model=True,
            block_size=block_size,
        ).rename({"verifier.bias": "bias", "verifier.radius": "radius"})
        return result.assign_coords(bias=biases, radius=radii)  # as float64, whatever the simulation used

    @property
    def schedule(self):
        """Rows generated in rounds 1..K."""
        return sc.geometric_growth(self.n_first, self.growth)

    @property
    def generated(self) -> np.ndarray:
        """The same as an array, shape (K,)."""
        return resolve(self.schedule, self.rounds)

    @property
    def start(self) -> float:
        """V0, the expected squared error of the fit on real data."""
        return self.dim * self.sigma**2 / self.n_real

    @property
    def words(self) -> str:
        """The setting in a line, for a picture's heading."""
        return (
            f"d = {self.dim}, σ = {self.sigma:g}; rows per direction: {self.n_real} real ones, "
            f"{self.n_first} × {self.growth:g}ᵏ⁻¹ generated in round k"
        )

    def linearised(self, bound: float, bias: float) -> np.ndarray:
        """Linearised error of rounds 0..K, kept rows at the acceptance of the center."""
        kept = self.generated * truncated_normal.moments(0.0, bound, self.sigma)[2]
        return knowledge_center.mse_trajectory(
            dim=self.dim,
            sigma=self.sigma,
            n_real=self.n_real,
            n_per_round=kept,
            bound=bound,
            verifier_bias=bias,
            rounds=self.rounds,
        )

    def bound(self, bound: float, bias: float, kept: np.ndarray) -> np.ndarray:
        """Published bound on E|estimate - center|^2, rounds 0..K, for `kept` rows per direction and round."""
        return knowledge_center.mse_bound(
            dim=self.dim,
            sigma=self.sigma,
            n_real=self.n_real,
            n_per_round=kept,
            bound=bound,
            verifier_bias=bias,
            rounds=self.rounds,
        )

    def law(self, bound: float, bias: np.ndarray) -> knowledge_center.ChainLaw:
        """Exact law of the chain for a bias given per direction."""
        return knowledge_center.chain_law_exact(
            sigma=self.sigma,
            n_real=self.n_real,
            n_per_round=self.generated,
            bound=bound,
            verifier_bias=bias,
            rounds=self.rounds,
            rejected="drop",
        )


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture."""

    chains: int
    setting: Setting = Setting()
    radius: float = RADIUS  # no slack, so a row is kept within so much of the center's prediction
    block_size: int | None = None
    seed: int = 0


QUICK_BLOCK = 512  # of all three pictures, so that the quick scale compiles once for them
SCALES = {
    "quick": Config(chains=2_000, block_size=QUICK_BLOCK),
    "small": Config(chains=10_000),
    "paper": Config(chains=40_000),
}


def compute(config: Config) -> xr.Dataset:
    """Trajectories of the four regimes, and `center_distance`, E|estimate - center|^2, beside its bound."""
    setting = config.setting
    biases = [float(np.sqrt(q * setting.start)) for q in RATIOS.values()]
    diagonal = np.ones(setting.dim)
    result = setting.simulate(
        biases, [config.radius], diagonal, config.chains, config.seed, config.block_size
    )
    result = result.isel(radius=0, drop=True).rename(bias="regime").assign_coords(regime=list(RATIOS))
    # The truth is 0, the center at bias/sqrt(d) in every direction.
    estimate = result["model_coef"].astype(float)
    bias = xr.DataArray(biases, dims="regime")
    center = bias / np.sqrt(setting.dim)
    progress = (estimate * center).sum("dim") / (bias**2).where(bias > 0)
    kept = (result["num_kept"].mean("chain") / setting.dim).isel(round=slice(1, None))
    parts = [
        over_chains(result["squared_error"], "error"),
        over_chains(progress, "progress"),
        over_chains(((estimate - center) ** 2).sum("dim"), "center_distance"),
    ]
    data = xr.merge(parts, combine_attrs="override")
    laws = [setting.law(config.radius, np.full(setting.dim, b / np.sqrt(setting.dim))) for b in biases]
    data["theory"] = ("regime", "round"), np.array([law.mse for law in laws])
    data["linearised"] = ("regime", "round"), np.array([setting.linearised(config.radius, b) for b in biases])
    bounds = np.array(
        [setting.bound(config.radius, b, kept.isel(regime=i).to_numpy()) for i, b in enumerate(biases)]
    )
    data["center_bound"] = ("regime", "round"), bounds
    # Only where truth and center are one is the bound about the error that is drawn.
    data["bound"] = data["center_bound"].where((bias == 0).drop_vars("regime", errors="ignore"))
    data["bias2"] = "regime", np.square(biases)
    data["size"] = "regime", ["Δ = 0" if q == 0 else f"Δ² = {q:g} V₀" for q in RATIOS.values()]
    data.attrs.update(
        title="four regimes of verifier-guided retraining, linear regression",
        heading="linear regression retrained on its own rows (x, y); a verifier keeps those with "
        rf"$|y-x\cdot\theta_c| \leq {config.radius:g}\sigma$; its bias is $\Delta = |\theta_c-\theta^*|$"
        f"\n{setting.words}",
        error_label=r"squared error  $\mathrm{E}\,|\hat\theta_k - \theta^*|^2$",
        theory_label="exact chain",
        linearised_label="linearised chain",
        config=json.dumps(dataclasses.asdict(config)),
        simulation=trajectories.provenance(result),
    )
    return data


def compare(data: xr.Dataset) -> list[Claim]:
    """The regimes, the published bound, and the exact chain on the simulation."""
    later = data.isel(round=slice(1, None))
    over = later["center_distance"] / later["center_bound"]
    error = standard_error(data, "center_distance").isel(round=slice(1, None)) / later["center_bound"]
    worst = int(((over - 1) / error).to_numpy().argmax())
    deviation, spread = trajectories.log_deviation(data)
    return [
        *trajectories.compare(data, "E|θ̂ − θ*|²"),
        claims.never_above(
            "the distance to the center never exceeds the published bound",
            "[Yi26], Theorem 4.1, Eq. 7",
            "largest E|θ̂ₖ − θ_c|² over its bound",
            Estimate(float(over.to_numpy().flat[worst]), float(error.to_numpy().flat[worst])),
            1.0,
            over.size,
        ),
        claims.largest_z(
            "the closed form lies on the simulation (exact chain)",
            trajectories.DERIVED,
            "errors by regime and round",
            float(np.abs(deviation / spread).max()),
            deviation.size,
        ),
    ]


def draw(data: xr.Dataset) -> Figure:
    """Four panels; computes nothing."""
    figure = style.blank(8.5, 6.8)
    style.heading(figure, data.attrs["heading"])
    trajectories.draw(figure, data)
    return figure
