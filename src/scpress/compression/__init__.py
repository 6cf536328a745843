"""What a code of the counts costs in bytes, and what it keeps of them."""
