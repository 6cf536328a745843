"""Donors, not cells, as what is counted, compared and told apart."""
