"""`simcollapse lm-loop`: the loop on a user's own checkpoint, texts and verifier program."""

from simcollapse.neural.language.pipeline.programs import ProgramFailed
from simcollapse.neural.language.pipeline.running import needs, run
from simcollapse.neural.language.pipeline.seeds import run_seeds
from simcollapse.neural.language.pipeline.settings import Settings, from_table, read

__all__ = ["ProgramFailed", "Settings", "from_table", "needs", "read", "run", "run_seeds"]
