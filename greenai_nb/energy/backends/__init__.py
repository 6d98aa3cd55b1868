"""The back ends of a meter: counters, models and replayed traces."""
