"""Figures with descriptions, one plotting style, panels and sliders; draws and never trains."""
