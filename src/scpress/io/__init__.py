"""Files in and out: raw formats, AnnData on disk, tables."""
