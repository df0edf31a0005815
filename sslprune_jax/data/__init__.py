"""Data: sources, device augmentation, batches."""
