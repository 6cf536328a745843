"""Raw single-cell counts to a compressed, clustered, subtyped AnnData."""
