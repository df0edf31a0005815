"""Masks: which weights remain, how they are chosen, where they are kept."""
