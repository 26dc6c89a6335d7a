"""Results and plans as people read them."""
