"""Lets a `scpress train` outgrow its memory when a file appears; every Python reads this file."""

import os
import sys
import threading
import time
from pathlib import Path


def _wait_and_grow(flag: Path) -> None:
    while True:
        if sys.argv[1:2] == ["train"] and flag.exists():
            flag.unlink()  # the next attempt is left alone
            grown = bytearray(4 * 2**30)
            grown[:: 2**12] = bytes([1]) * (2**20)  # touch every page
            time.sleep(600)
        time.sleep(0.2)


if "SCPRESS_TEST_HOG" in os.environ:
    threading.Thread(
        target=_wait_and_grow, args=(Path(os.environ["SCPRESS_TEST_HOG"]),), daemon=True
    ).start()
