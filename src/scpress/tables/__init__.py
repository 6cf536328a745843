"""What one step writes and another reads, field by field: the tables between steps."""
