"""Priors, penalty, forecasters and bounds: functions of arrays, free of torch."""
