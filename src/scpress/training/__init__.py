"""From a network to a fitted one: the loop, its state, and who else can train."""
