"""Raw single-cell counts to a compressed, clustered, subtyped AnnData."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scpress.archive.reader import open_archive

__all__ = ["open_archive"]


def __getattr__(name: str) -> Any:
    # Imported when it is asked for: `scpress --help` needs no numpy.
    if name == "open_archive":
        from scpress.archive.reader import open_archive

        return open_archive
    raise AttributeError(f"module 'scpress' has no attribute {name!r}")
