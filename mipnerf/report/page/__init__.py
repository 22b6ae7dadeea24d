"""The report as one HTML file, which needs neither network nor server nor anything beside it. Free of torch."""
