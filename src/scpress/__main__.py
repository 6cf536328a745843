"""Run scpress as `python -m scpress`."""

import sys

from scpress.cli import main

sys.exit(main())
