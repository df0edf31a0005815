"""Transfer: what a trained network is worth elsewhere, a file a protocol."""
