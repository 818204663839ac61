"""How runs survive. Start with `base` (the port), then `journal` (replay), then `engine` (one verb: advance)."""
