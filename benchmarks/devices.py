"""Does work spread over devices (virtual ones on CPU), and are the bits the same? Prints the device table alone."""

import rich

from simcollapse.bench import sweeps, tables
from simcollapse.bench.scale import FULL

if __name__ == "__main__":
    rich.print(tables.to_rich(tables.devices({"devices": sweeps.devices(FULL)})))
