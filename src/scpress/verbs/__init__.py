"""The verbs: each reads files, calls one step and writes one file."""
