"""What a trained network looks like: single views, videos along camera paths, a mesh."""
