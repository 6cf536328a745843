"""`scpress inspect`: what an archive holds, and what each part of it costs in bytes."""

import argparse
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the path."""
    parser.add_argument("path", type=Path, help="archive (.scp)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> None:
    """Print a table, or JSON."""
    import json

    from scpress.archive.reader import Archive

    with Archive(arguments.path, threads=arguments.threads) as archive:
        found = archive.describe()
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    for line in _lines(found):
        print(line)


def _lines(found: dict[str, Any]) -> list[str]:
    head = found["header"]
    lines = [
        f"{head['n_obs']:,} cells x {head['n_vars']:,} genes, {head['nnz']:,} nonzeros, "
        f"{head['sum']:,} molecules; packed by scpress {head['scpress']}",
        f"counts of {head['place']}, stored as {head['storage']} of {head['dtype']}",
        "",
        f"{'section':<10}{'bytes':>14}{'a cell':>10}",
    ]
    for kind, n_bytes in (found["sections"] | {"all": found["file_bytes"]}).items():
        lines.append(f"{kind:<10}{n_bytes:>14,}{n_bytes / max(1, head['n_obs']):>10.2f}")
    lines.append("")
    if found["bits_per_nonzero"] is not None:
        lines.append(f"bits per nonzero: {found['bits_per_nonzero']:.3f}")
    for name, value in head["codec"].items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        lines += [f"{name} {part}".rstrip() + f": {_text(one)}" for part, one in parts]
    return lines


def _text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
