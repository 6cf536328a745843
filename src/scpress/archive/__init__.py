"""Counts in a file that gives them back exactly, with everything beside them."""
