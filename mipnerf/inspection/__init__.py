"""What a scene looks like before it is trained on: its cameras, its images, and what is suspicious about them."""
