"""Run scpress as `python -m scpress`."""

import sys

from scpress.cli import command

sys.exit(command())
