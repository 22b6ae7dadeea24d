"""Views that are rendered, scored and kept."""
