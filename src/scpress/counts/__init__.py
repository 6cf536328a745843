"""From raw molecules to the genes a model reads: sparse matrices and lists of genes."""
