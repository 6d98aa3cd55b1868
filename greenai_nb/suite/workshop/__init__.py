"""Workspaces for participants, and JupyterLab for a room."""
