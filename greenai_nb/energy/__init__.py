"""Energy readings, each with the way in which it was obtained."""
