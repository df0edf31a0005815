"""The pretext and supervised tasks, one file each behind one protocol."""
