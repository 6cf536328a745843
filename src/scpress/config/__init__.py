"""What a run may be told: every knob once, as flag, key and schema."""
