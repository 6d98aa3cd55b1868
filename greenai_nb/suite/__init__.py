"""What happens around notebooks: runs, sweeps, workspaces and the command line."""
