"""How fast does a language model train and write beside `transformers` with PyTorch, on the same cores?

PyTorch is no dependency of this project: name a Python that has it and `transformers` (CPU build).

python benchmarks/language_torch.py --torch PYTHON [--size smollm2] [--steps 4] [--repeats 5] [--out FILE]

Both sides have the same random weights in single precision, written to a folder once; the loss of one batch must agree.
They take the same steps (4 rows of 256 tokens, the loss of all tokens, clipped gradients, AdamW) and continue the same
8 prompts of 128 tokens greedily by 32 tokens with cached keys and values. A training run of ours is a whole fit, which
also copies all parameters twice. Runs alternate, ours, theirs, ours, …; a ratio is the median over neighbouring runs.
PyTorch gets one thread a core, as XLA does.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import beside_torch
import numpy as np

ROWS, LENGTH = 4, 256
PROMPTS, PROMPT, ANSWER = 8, 128, 32
SIZES = {
    "smollm2": {
        "vocabulary": 49_152,
        "width": 576,
        "layers": 30,
        "heads": 9,
        "kv_heads": 3,
        "hidden": 1_536,
        "context": 2_048,
    },
    "tiny": {"vocabulary": 512, "width": 32, "layers": 2, "heads": 4, "kv_heads": 2, "hidden": 64, "context": 512},
}  # fmt: skip
UNITS = {"train": "tokens/s", "generate": "new tokens/s"}
AGREE = 1e-4  # relative difference of the two sides' loss, in single precision


def work(steps):
    """Tokens of one timed run."""
    return {"train": steps * ROWS * LENGTH, "generate": PROMPTS * ANSWER}


def data(vocabulary):
    """Tokens of the rows and of the prompts; what they say does not matter for speed."""
    random = np.random.default_rng(0)
    shapes = ((ROWS, LENGTH), (PROMPTS, PROMPT))
    return tuple(random.integers(1, vocabulary, shape).astype(np.int32) for shape in shapes)


def ours(size, steps, folder):
    """Functions that do one timed run each, and the loss of the rows; the weights are written to `folder`."""
    from simcollapse.memory import keep_freed

    keep_freed()  # as neural runs do
    import jax

    from simcollapse import keys
    from simcollapse.neural.language import checkpoints, generation, models
    from simcollapse.neural.language import config as configs
    from simcollapse.neural.language.training import Tuner, tuning

    config = configs.config(**SIZES[size])
    params = models.init(config, keys.root(0))
    checkpoints.save(folder, checkpoints.Checkpoint(config, params, None))
    tokens, prompts = data(config.vocabulary)
    rows = {"tokens": tokens, "begin": np.ones(ROWS, np.int32), "length": np.full(ROWS, LENGTH, np.int32)}
    tuner = Tuner(config, tuning(max_steps=steps, batch=ROWS, learning_rate=1e-5, loss_on="all"))

    def train():
        jax.block_until_ready(tuner.fit(keys.root(1), params, rows)[0])

    def generate():
        told = generation.generate(config, params, prompts.tolist(), ANSWER, stops=(), batch=PROMPTS)
        if {len(answer) for answer in told.tokens} != {ANSWER}:
            raise ValueError("answers must be whole")

    return {"train": train, "generate": generate}, tuner.loss(params, rows)


def theirs(steps, folder):
    """The same by `transformers`, with fused attention and a fused optimizer."""
    import torch
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
    tokens, prompts = (torch.from_numpy(x).long() for x in data(model.config.vocab_size))
    adam = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.0, fused=True)
    with torch.no_grad():
        loss = float(model(input_ids=tokens, labels=tokens).loss)

    def train():
        model.train()
        for _ in range(steps):
            model(input_ids=tokens, labels=tokens, use_cache=False).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            adam.step()
            adam.zero_grad()

    @torch.inference_mode()
    def generate():
        model.eval()
        out = model.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            max_new_tokens=ANSWER,
            min_new_tokens=ANSWER,
            do_sample=False,
            pad_token_id=0,
        )
        if out.shape[1] != PROMPT + ANSWER:
            raise ValueError("answers must be whole")

    return {"train": train, "generate": generate}, loss


def told(steps, folder):
    """The other side's jobs, and what it tells of itself."""
    import transformers

    jobs, loss = theirs(steps, folder)
    return jobs, {"transformers": transformers.__version__, "loss": loss}


def measure(options, folder):
    """Rates of both sides and their ratios."""
    jobs, loss = ours(options.size, options.steps, Path(folder))
    steps = ["--steps", str(options.steps)]
    with beside_torch.served(options.torch, __file__, "--serve", folder, *steps) as (setting, other):
        if abs(setting["loss"] / loss - 1) > AGREE:
            raise ValueError(f"both sides must compute the same loss, got {loss} and {setting['loss']}")
        compiled = {}
        for name, job in jobs.items():
            begin = time.perf_counter()
            job()
            compiled[name] = time.perf_counter() - begin
        rates = beside_torch.compared(jobs, other, work(options.steps), UNITS, options.repeats)
    for name, seconds in compiled.items():
        rates[name]["first_run_s"] = seconds
    out = {"size": options.size, "steps": options.steps, "repeats": options.repeats}
    return out | setting | rates | beside_torch.where()


def main():
    """Measure and print JSON."""
    parser = beside_torch.parser(__doc__, torch="a Python with PyTorch and transformers", repeats=5)
    parser.add_argument("--size", choices=list(SIZES), default="smollm2")
    parser.add_argument("--steps", type=int, default=4, help="of one timed fit")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        beside_torch.serve(lambda: told(options.steps, options.serve))
        return
    os.environ.setdefault("NPROC", str(beside_torch.cores()))
    with tempfile.TemporaryDirectory() as folder:
        result = measure(options, folder)
    beside_torch.publish(result, options.out)


if __name__ == "__main__":
    main()
