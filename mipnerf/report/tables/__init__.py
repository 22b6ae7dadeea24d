"""Tables, and what of them is the published number."""
