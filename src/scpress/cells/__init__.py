"""What the cells are: neighbours, clusters, markers, types and subtypes."""
