"""One training: its step, its state, the loop around them."""
