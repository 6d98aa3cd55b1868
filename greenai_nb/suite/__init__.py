"""Runs notebooks: parameters, records, claims, reports, exercises and the command line."""
