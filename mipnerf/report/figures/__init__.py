"""Pictures of all runs of a dataset or scene."""
