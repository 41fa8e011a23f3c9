"""Python's collector of cycles, for a process that makes very many small objects and hardly a cycle."""

import gc
from typing import Final

#: Objects made and not yet freed before the youngest are looked at. Python's 700 are a handful of batches, and every
#: tenth and hundredth time all that is in flight is looked at too: 7 % of a busy gateway. Not more than this, because
#: what a stream leaves behind waits for it.
YOUNG_OBJECTS: Final = 10_000


def settle() -> None:
    """To be called once all is set up: what is there now stays, and is never looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
