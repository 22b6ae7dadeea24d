"""From the files of finished runs to tables and figures. Free of torch."""
