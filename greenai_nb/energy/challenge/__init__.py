"""The workshop's competition: accuracy and energy of a predictor in a fresh process."""
