#!/usr/bin/env bash
# Runs in the new environment, from the directory Snakemake was started in: the folder of this
# workflow, or any other with SCPRESS_SOURCE naming that folder or an address pip understands.
set -euo pipefail
pip install --no-deps "${SCPRESS_SOURCE:-.}"
