"""Products of signs on packed bits: bit-exact everywhere, chosen by the processor."""
