"""The rounds of `yi-xsum` from a checkpoint on real texts, at a scale for a machine without an accelerator.

Cut articles, adapters, and at scale `quick` one seed: about 20 minutes of one core for 135 million parameters. Claims
are those of `yi-xsum`. With one seed their standard errors are over the held-out texts, each answered by every model:
they tell whether these models differ on other texts, not what other training texts or draws would have given.
"""

from typing import Any

from simcollapse.reproduce.language import settings, xsum
from simcollapse.reproduce.language.common import EXTRA, check, preview
from simcollapse.reproduce.language.settings import Config, Fit
from simcollapse.reproduce.language.xsum import compare, compute, draw

NAME = "yi-xsum-checkpoint"

# 96 tokens of prompt and 32 of answer fill 128, a length that arrays have (`padding.bucket`). A fit is as many steps
# in every arm: 6 of 8 rows are one pass over the real texts, four over the twelve answers that are kept, and half a
# pass over all that are generated, 48 different ones.
_QUICK = Config(
    arms=xsum.arms(96, 2), n_real=48, n_prompts=96, chains=1, tokens=128, answer=32, too_long="truncate",
    fit=Fit(max_steps=6, batch=8, learning_rate=1e-3, rank=16), batch=32, held_out=48, answered=48,
)  # fmt: skip
_SMALL = Config(
    arms=xsum.arms(800, 4), n_real=400, n_prompts=800, chains=3, tokens=256, answer=48, too_long="truncate",
    fit=Fit(max_steps=100, batch=8, learning_rate=1e-3, rank=16), batch=32, held_out=300, answered=300,
)  # fmt: skip
SCALES = {"quick": _QUICK, "small": _SMALL, "paper": xsum.SCALES["paper"]}


def configure(
    config: Config, *, data: str | None, folder: str, model: str | None = None, **options: Any
) -> Config:  # fmt: skip
    """As that of every figure of language models, but with a checkpoint.

    Raises:
        ValueError: no checkpoint, or no texts.
    """
    if not model or not data:
        raise ValueError(
            f"{NAME} starts from a checkpoint and reads real texts: give --model CHECKPOINT (a folder, a GGUF file or "
            "a hub name) and --data xsum (or a file of JSON lines); yi-xsum runs without them"
        )
    return settings.configure(config, data=data, folder=folder, model=model, **options)


__all__ = ["EXTRA", "NAME", "SCALES", "check", "compare", "compute", "configure", "draw", "preview"]
