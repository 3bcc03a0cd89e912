"""How fast does the VAE train and generate beside the same architecture in PyTorch, on the same cores?

PyTorch is no dependency of this project: name a Python that has it (CPU build).

python benchmarks/vae_torch.py --torch PYTHON [--architecture conv|mlp] [--side 28] [--repeats 10] [--out FILE]

Both sides take the same steps: batch 128 of random 8-bit images, one draw of z an image, Bernoulli likelihood, Adam
1e-3, gathering the batch included; and decode the same number of latents to 8-bit images. Runs alternate, ours, theirs,
ours, …; a ratio is the median over neighbouring runs. PyTorch gets one thread a core, as XLA does.
"""

import argparse
import os

import beside_torch
import numpy as np

BATCH, ROWS, LATENT, CLASSES = 128, 2_000, 20, 10
STEPS = {"conv": 20, "mlp": 100}  # of one timed run
SAMPLES = 5_000  # of one timed run, 500 a call
UNITS = {"train": "steps/s", "generate": "samples/s"}


def data(side):
    """Images and labels that both sides train on."""
    random = np.random.default_rng(0)
    return random.integers(0, 256, (ROWS, side, side), dtype=np.uint8), np.arange(ROWS) % CLASSES


def ours(architecture, side):
    """Functions that do one timed run."""
    from simcollapse.memory import keep_freed

    keep_freed()  # as neural runs do
    import jax

    from simcollapse import keys
    from simcollapse.neural.training import training
    from simcollapse.neural.vae import models, task

    images, labels = data(side)
    rows = {"image": images, "label": labels.astype(np.int32)}
    steps = STEPS[architecture]
    family = task.vaes(models.sizes(side, CLASSES, architecture))
    settings = training(steps, check_every=steps, held_out=0.0)
    params = family.init(keys.root(0))
    wanted = np.arange(SAMPLES) % CLASSES

    def train():
        jax.block_until_ready(family.fit(keys.root(1), rows, settings)[0])

    return {"train": train, "generate": lambda: family.generate(keys.root(2), params, wanted)}


def theirs(architecture, side):
    """The same in PyTorch: the usual layers, as one would write them."""
    import torch
    from torch import nn
    from torch.nn import functional

    torch.manual_seed(0)
    images, labels = (torch.from_numpy(x) for x in data(side))
    small = side // 4

    class Vae(nn.Module):
        def __init__(self):
            super().__init__()
            if architecture == "conv":
                width = small * small * 64
                self.encoder = nn.Sequential(
                    nn.Conv2d(1, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU(), nn.Flatten()
                )
                self.decoder = nn.Sequential(
                    nn.Linear(LATENT + CLASSES, width), nn.ReLU(), nn.Unflatten(1, (64, small, small)),
                    nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(32, 1, 4, 2, 1),
                )  # fmt: skip
            else:
                width = 400
                self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(side * side, width), nn.ReLU())
                self.decoder = nn.Sequential(
                    nn.Linear(LATENT + CLASSES, width), nn.ReLU(), nn.Linear(width, side * side),
                    nn.Unflatten(1, (1, side, side)),
                )  # fmt: skip
            self.mean, self.log_variance = (nn.Linear(width + CLASSES, LATENT) for _ in range(2))

        def forward(self, x, y):
            h = torch.cat([self.encoder(x), y], 1)
            mean, log_variance = self.mean(h), self.log_variance(h)
            z = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
            return self.decoder(torch.cat([z, y], 1)), mean, log_variance

    model = Vae()
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)

    def batch(at):
        return images[at][:, None].float() / 255, functional.one_hot(labels[at], CLASSES).float()

    def train():
        order = torch.randperm(ROWS)
        for step in range(STEPS[architecture]):
            at = (step * BATCH) % (ROWS - BATCH)
            x, y = batch(order[at : at + BATCH])
            logits, mean, log_variance = model(x, y)
            loss = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
            loss = loss + 0.5 * torch.sum(log_variance.exp() + mean**2 - 1 - log_variance)
            adam.zero_grad()
            (loss / BATCH).backward()
            adam.step()

    @torch.no_grad()
    def generate():
        for at in range(0, SAMPLES, 500):
            y = functional.one_hot((torch.arange(at, at + 500)) % CLASSES, CLASSES).float()
            z = torch.randn(500, LATENT)
            torch.round(255 * torch.sigmoid(model.decoder(torch.cat([z, y], 1)))).to(torch.uint8).numpy()

    return {"train": train, "generate": generate}


def measure(options):
    """Rates of both sides and their ratios."""
    sizes = ["--architecture", options.architecture, "--side", str(options.side)]
    with beside_torch.served(options.torch, __file__, "--serve", *sizes) as (setting, other):
        jobs = ours(options.architecture, options.side)
        for job in jobs.values():
            job()  # compiles
        work = {"train": STEPS[options.architecture], "generate": SAMPLES}
        told = beside_torch.compared(jobs, other, work, UNITS, options.repeats)
    out = {"architecture": options.architecture, "side": options.side, "repeats": options.repeats}
    return out | setting | told | beside_torch.where()


def main():
    """Measure and print JSON."""
    parser = beside_torch.parser(__doc__)
    parser.add_argument("--architecture", default="conv", choices=("conv", "mlp"))
    parser.add_argument("--side", type=int, default=28)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        beside_torch.serve(lambda: (theirs(options.architecture, options.side), {}))
        return
    os.environ.setdefault("NPROC", str(beside_torch.cores()))
    beside_torch.publish(measure(options), options.out)


if __name__ == "__main__":
    main()
