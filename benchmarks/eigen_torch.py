"""How fast does the eigenvalue transformer train and search beside the same architecture in PyTorch, on the same cores?

PyTorch is no dependency of this project: name a Python that has it (CPU build).

python benchmarks/eigen_torch.py --torch PYTHON [--size 5] [--width 128] [--repeats 10] [--out FILE]

Both sides take the same steps (a batch of 64, cross-entropy of the answer, clipped gradients, Adam) and search the same
matrices: greedily and with a beam of 50, each with cached keys and values, the source's computed once. Runs alternate,
ours, theirs, ours, …; a ratio is the median over neighbouring runs. PyTorch gets one thread a core, as XLA does. We
search two batches at a time; so PyTorch is also timed with the matrices dealt to as many threads as there are cores,
each of which computes alone, and with gradients of as many parts of a batch: `split`.
"""

import argparse
import os
from concurrent.futures import ThreadPoolExecutor

import beside_torch
import numpy as np

BATCH, ROWS, HEADS, LAYERS, BEAM = 64, 2_000, 8, 2, 50
STEPS = 10  # of one timed run
MATRICES = {"greedy": 2_000, "beam": 100}  # of one timed run
CALL = {"greedy": 250, "beam": 100}  # of one call of PyTorch; other sizes are no faster
UNITS = {"train": "tokens/s", "greedy": "matrices/s", "beam": "matrices/s"}


def shapes(size):
    """Vocabulary, tokens of a matrix, tokens of its eigenvalues: P1000 with three digits."""
    return 1_013, 3 * size**2, 3 * size


def work(size):
    """Tokens of a matrix and its answer, or matrices, of one timed run."""
    _, source, target = shapes(size)
    return {"train": STEPS * BATCH * (source + target), **MATRICES}


def data(size):
    """Tokens of both sides; what they say does not matter for speed."""
    random = np.random.default_rng(0)
    vocabulary, source, target = shapes(size)
    return tuple(random.integers(1, vocabulary, (ROWS, n)).astype(np.int16) for n in (source, target))


def ours(size, width):
    """Functions that do one timed run each, and parameters."""
    from simcollapse.memory import keep_freed

    keep_freed()  # as neural runs do
    import jax

    from simcollapse import keys
    from simcollapse.neural.eigen import matrices, models, numbers, task
    from simcollapse.neural.training import training

    problem = matrices.problem(size, numbers.encoding("P1000", 3))
    sizes = models.sizes(problem, width=width, heads=HEADS, encoder_layers=LAYERS, decoder_layers=LAYERS)
    if (sizes.vocabulary, sizes.source_length, sizes.target_length) != shapes(size):
        raise ValueError("both sides must have the same shapes")
    how = training(STEPS, check_every=STEPS, batch=BATCH, held_out=0.0)
    family = task.Translators(sizes, how, task.optimizer(1e-4, steps=10**6, warmup=1))
    params = family.init(keys.root(0))
    source, target = data(size)
    rows = {"source": source, "target": target}

    def train():
        jax.block_until_ready(family.trainer.fit(keys.root(1), params, rows)[0])

    def greedy():
        family.decode(keys.root(2), params, source[: MATRICES["greedy"]], task.decoding())

    def beam():
        family.decode(keys.root(2), params, source[: MATRICES["beam"]], task.decoding("beam", BEAM))

    return {"train": train, "greedy": greedy, "beam": beam}


def theirs(size, width):
    """The same in PyTorch: fused attention, cached keys and values, batched beams."""
    import torch
    from torch import nn
    from torch.nn import functional

    torch.manual_seed(0)
    vocabulary, source_length, target_length = shapes(size)
    source, target = (torch.from_numpy(x).long() for x in data(size))
    head = width // HEADS

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
            self.out = nn.Linear(width, width)

        def memory(self, x):
            both = self.key_value(x).view(*x.shape[:2], 2 * HEADS, head).transpose(1, 2)
            return both.split(HEADS, dim=1)

        def forward(self, x, memory, causal=False):
            query = self.query(x).view(*x.shape[:2], HEADS, head).transpose(1, 2)
            got = functional.scaled_dot_product_attention(query, *memory, is_causal=causal)
            return self.out(got.transpose(1, 2).reshape(x.shape))

    def mlp():
        return nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.attention, self.mlp = Attention(), mlp()

        def forward(self, x):
            h = self.norm1(x)
            x = x + self.attention(h, self.attention.memory(h))
            return x + self.mlp(self.norm2(x))

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
            self.attention, self.cross, self.mlp = Attention(), Attention(), mlp()

        def forward(self, x, memory):
            h = self.norm1(x)
            x = x + self.attention(h, self.attention.memory(h), causal=True)
            x = x + self.cross(self.norm2(x), memory)
            return x + self.mlp(self.norm3(x))

        def step(self, x, memory, cache):
            batch, beams = x.shape[:2]
            h = self.norm1(x).reshape(batch * beams, 1, width)
            new = self.attention.memory(h)
            cache = (
                new if cache is None else tuple(torch.cat([c, n], 2) for c, n in zip(cache, new, strict=True))
            )
            x = x + self.attention(h, cache).view(x.shape)
            x = x + self.cross(self.norm2(x), memory)
            return x + self.mlp(self.norm3(x)), cache

    class Translator(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(vocabulary, width)
            self.source_places = nn.Embedding(source_length, width)
            self.target_places = nn.Embedding(target_length, width)
            self.encoder = nn.ModuleList([Encoder() for _ in range(LAYERS)])
            self.decoder = nn.ModuleList([Decoder() for _ in range(LAYERS)])
            self.encoder_norm, self.decoder_norm = nn.LayerNorm(width), nn.LayerNorm(width)
            self.head = nn.Linear(width, vocabulary)

        def encode(self, source):
            x = self.words(source) + self.source_places.weight
            for layer in self.encoder:
                x = layer(x)
            x = self.encoder_norm(x)
            return [layer.cross.memory(x) for layer in self.decoder]

        def forward(self, source, target):
            memory = self.encode(source)
            x = self.words(functional.pad(target[:, :-1], (1, 0))) + self.target_places.weight
            for layer, seen in zip(self.decoder, memory, strict=True):
                x = layer(x, seen)
            return self.head(self.decoder_norm(x))

        def step(self, memory, caches, tokens, at):
            x = self.words(tokens) + self.target_places.weight[at]
            after = []
            for layer, seen, cache in zip(self.decoder, memory, caches, strict=True):
                x, cache = layer.step(x, seen, cache)
                after.append(cache)
            return self.head(self.decoder_norm(x)), after

    model = Translator()
    parameters = list(model.parameters())
    adam = torch.optim.Adam(parameters, lr=1e-4, betas=(0.9, 0.98))

    def loss_of(places):
        logits = model(source[places], target[places])
        return functional.cross_entropy(logits.reshape(-1, vocabulary), target[places].reshape(-1))

    def slope_of(places):
        return torch.autograd.grad(loss_of(places), parameters)

    def train(parts):
        order = torch.randperm(ROWS)
        for step in range(STEPS):
            places = order[step * BATCH : (step + 1) * BATCH]
            if parts == 1:
                adam.zero_grad()
                loss_of(places).backward()
            else:
                slopes = alone.map(slope_of, places.split(-(-BATCH // parts)))
                for parameter, *slope in zip(parameters, *slopes, strict=True):
                    parameter.grad = sum(slope) / parts
            nn.utils.clip_grad_norm_(parameters, 1.0)
            adam.step()

    @torch.inference_mode()
    def search(source, width):
        count = len(source)
        memory = model.encode(source)
        caches: list = [None] * LAYERS
        tokens = torch.zeros(count, 1, 0, dtype=torch.long)
        score, last = torch.zeros(count, 1), torch.zeros(count, 1, dtype=torch.long)
        for at in range(target_length):
            logits, caches = model.step(memory, caches, last, at)
            total = score[..., None] + logits.log_softmax(-1)
            score, place = total.view(count, -1).topk(width)
            parent, last = place // vocabulary, place % vocabulary
            if width > 1:
                if at + 1 < target_length:
                    rows = (parent + logits.shape[1] * torch.arange(count)[:, None]).view(-1)
                    caches = [tuple(x[rows] for x in cache) for cache in caches]
                tokens = tokens.gather(1, parent[..., None].expand(-1, -1, at))
            tokens = torch.cat([tokens, last[..., None]], -1)
        return tokens.numpy(), score.numpy()

    cores = torch.get_num_threads()
    alone = ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,))

    def whole(name, width):
        return lambda: [search(part, width) for part in source[: MATRICES[name]].split(CALL[name])]

    def split(name, width):
        size = min(CALL[name], -(-MATRICES[name] // cores))
        return lambda: list(alone.map(lambda s: search(s, width), source[: MATRICES[name]].split(size)))

    jobs = {"train": lambda: train(1), "greedy": whole("greedy", 1), "beam": whole("beam", BEAM)}
    jobs["train split"] = lambda: train(cores)
    return jobs | {"greedy split": split("greedy", 1), "beam split": split("beam", BEAM)}


def measure(options):
    """Rates of both sides and their ratios."""
    sizes = ["--size", str(options.size), "--width", str(options.width)]
    with beside_torch.served(options.torch, __file__, "--serve", *sizes) as (setting, other):
        jobs = ours(options.size, options.width)
        for job in jobs.values():
            job()  # compiles
        hows = ("", " split")
        told = beside_torch.compared(jobs, other, work(options.size), UNITS, options.repeats, hows)
    out = {"size": options.size, "width": options.width, "repeats": options.repeats}
    return out | setting | told | beside_torch.where()


def main():
    """Measure and print JSON."""
    parser = beside_torch.parser(__doc__)
    parser.add_argument("--size", type=int, default=5)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        beside_torch.serve(lambda: (theirs(options.size, options.width), {}))
        return
    os.environ.setdefault("NPROC", str(beside_torch.cores()))
    beside_torch.publish(measure(options), options.out)


if __name__ == "__main__":
    main()
