"""The autoencoder: what it is, what it reads, how it is scored, and what it must beat."""
