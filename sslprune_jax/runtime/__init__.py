"""The machine: devices, processes, files, errors; nothing of pruning."""
