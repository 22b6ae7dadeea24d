"""Datasets: every loader turns a folder on disk into a `mipnerf.datasets.scene.Scene`, plain arrays without torch."""
