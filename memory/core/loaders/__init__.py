"""From documents to pieces that can be searched."""
