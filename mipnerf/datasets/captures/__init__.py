"""Own photographs: cameras that other tools have found."""
