"""Run the walk: plan, execute, show progress, report, verify, publish."""
