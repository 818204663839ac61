"""Skills, and programs that use them."""
