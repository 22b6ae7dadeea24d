"""Scenes out of archives, folders and the network."""
