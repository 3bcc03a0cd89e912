"""The pictures of `simcollapse reproduce`, for the gallery: the small scale, PNG and the table of claims.

python figures/gallery.py [NAME ...] [--scale quick|small|paper] [--out FOLDER] [--data DATA] [--model MODEL]
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import jax

from simcollapse import reproduce

GALLERY = Path(__file__).parent / "gallery"
NEEDS_MODEL = "yi-xsum-checkpoint"  # only by its name, with --model: others take no checkpoint, or need none


def main() -> None:
    """Compute at a scale, keep pictures and claims."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", default=["all"], help="figures; default: all")
    parser.add_argument("--scale", default="small", choices=reproduce.SCALE_NAMES)
    parser.add_argument("--out", type=Path, default=GALLERY)
    parser.add_argument("--data", help="of figures that read real data")
    parser.add_argument("--model", help="of figures that start from a checkpoint; one needs it")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_enable_x64", True)  # as the command line does
    with tempfile.TemporaryDirectory() as folder:
        every = [name for name in reproduce.KNOWN if name != NEEDS_MODEL]
        for name in every if "all" in options.names else options.names:
            reproduce.run(name, scale=options.scale, out=folder, data=options.data, model=options.model)
        for made in [m for kind in ("*.png", "*.gif", "*-claims.csv") for m in Path(folder).glob(kind)]:
            shutil.copy(made, options.out / made.name)


if __name__ == "__main__":
    main()
