"""How much of a device's speed do the transformers reach? Tokens a second and model FLOP utilisation, in JAX alone.

python benchmarks/neural_device.py [--precision bfloat16] [--rows 32] [--length 512] [--peak TFLOPS] [--out FILE]

The language model (SmolLM2-135M's size, random weights) takes optimiser steps of rows x length tokens and continues as
many prompts by 32 tokens; the eigenvalue transformer (published width, 5 x 5 matrices) takes steps of 64 and searches
with a beam of 50. Utilisation is the operations that the model needs, over the seconds they took and the speed of one
large product on the same device in the same precision, or over --peak, the maker's figure. Operations are those of
[Chowdhery et al. 2022](https://arxiv.org/abs/2204.02311), appendix B: two for each number of a kernel and token, and
attention; three times as many with gradients. What is computed again, softmax, norms and the optimiser count nothing.
"""

import argparse
import json
import time
from pathlib import Path

import eigen_torch
import jax
import jax.numpy as jnp
import language_torch
import numpy as np

ANSWER = 32  # tokens
SIDE = {"cpu": 2_048}  # of the large product; elsewhere 8192


def peak(precision, repeats):
    """Operations a second of one large product."""
    side = SIDE.get(jax.default_backend(), 8_192)
    x = jnp.ones((side, side), precision)
    product = jax.jit(lambda x: x @ x)
    return 2 * side**3 / min(timed(lambda: jax.block_until_ready(product(x)), repeats))


def timed(job, repeats):
    """Seconds of each run, after one that compiles."""
    job()
    taken = []
    for _ in range(repeats):
        begin = time.perf_counter()
        job()
        taken.append(time.perf_counter() - begin)
    return taken


def language(options):
    """By name: a job, the tokens it takes or makes, and the operations they need."""
    from simcollapse import keys
    from simcollapse.neural.language import config as configs
    from simcollapse.neural.language import generation, models
    from simcollapse.neural.language.training import Tuner, tuning

    size = language_torch.SIZES[options.size]
    config = configs.config(**size, precision=options.precision)
    params = models.init(config, keys.root(0))
    random = np.random.default_rng(0)
    tokens = random.integers(1, config.vocabulary, (options.rows, options.length)).astype(np.int32)
    rows = {
        "tokens": tokens,
        "begin": np.ones(len(tokens), np.int32),
        "length": np.full(len(tokens), options.length, np.int32),
    }
    settings = {"max_steps": options.steps, "batch": options.rows, "learning_rate": 1e-5, "loss_on": "all"}
    tuner = Tuner(config, tuning(**settings, precision=options.precision))
    prompts = tokens[:, : options.length - ANSWER].tolist()

    def train():
        jax.block_until_ready(tuner.fit(keys.root(1), params, rows)[0])

    def generate():
        generation.generate(config, params, prompts, ANSWER, stops=(), batch=options.rows)

    width, head = size["width"], size["width"] // size["heads"]
    attended = size["heads"] * head * options.length
    layer = width * (2 * size["heads"] + 2 * size["kv_heads"]) * head + 3 * width * size["hidden"]
    kernels, head_kernel = size["layers"] * layer, width * size["vocabulary"]
    forward = 2 * kernels + 4 * size["layers"] * attended
    trained, read, made = (n * options.rows for n in (options.steps * options.length, options.length, ANSWER))
    return {
        "train": (train, trained, 3 * trained * (forward + 2 * head_kernel)),
        "generate": (generate, made, read * forward + 2 * made * head_kernel),
    }


def eigen(options):
    """The same of the eigenvalue transformer."""
    size, width, layers = 5, options.width, eigen_torch.LAYERS
    jobs = eigen_torch.ours(size, width)
    vocabulary, source, target = eigen_torch.shapes(size)
    encoder = source * layers * (24 * width**2 + 4 * width * source)
    memory = source * layers * 4 * width**2

    def decoder(tokens):
        return tokens * (layers * (28 * width**2 + 4 * width * (source + target)) + 2 * width * vocabulary)

    trained, searched = eigen_torch.STEPS * eigen_torch.BATCH, eigen_torch.MATRICES["beam"]
    beams = searched * eigen_torch.BEAM
    return {
        "train": (
            jobs["train"],
            trained * (source + target),
            3 * trained * (encoder + memory + decoder(target)),
        ),
        "beam": (jobs["beam"], beams * target, searched * (encoder + memory) + beams * decoder(target)),
    }


def main():
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16"), default="float32", help="of the language model"
    )
    parser.add_argument("--size", choices=list(language_torch.SIZES), default="smollm2")
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument(
        "--steps", type=int, default=4, help="of one timed fit, which copies all parameters twice"
    )
    parser.add_argument(
        "--width", type=int, default=512, help="of the eigenvalue transformer, in single precision"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--peak", type=float, help="10^12 operations a second; left out: of one large product"
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    device = jax.devices()[0]
    out = {"device": device.device_kind, "backend": device.platform, "jax_version": jax.__version__}
    for name, make, precision in (("language", language, options.precision), ("eigen", eigen, "float32")):
        fastest = options.peak * 1e12 if options.peak else peak(precision, options.repeats)
        out[name] = {"precision": precision, "peak_tflops": fastest / 1e12}
        for job_name, (job, tokens, operations) in make(options).items():
            seconds = float(np.median(timed(job, options.repeats)))
            out[name][job_name] = {
                "tokens_per_s": tokens / seconds,
                "tflops": operations / seconds / 1e12,
                "utilisation": operations / seconds / fastest,
            }
    text = json.dumps(out, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
