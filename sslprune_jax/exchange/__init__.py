"""Networks in and out: checkpoints of others, read and never believed."""
