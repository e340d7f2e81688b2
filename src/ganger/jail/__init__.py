"""Confining and reaping: the only place that decides what a worker's process can reach, and that leaves none behind."""
