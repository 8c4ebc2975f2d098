"""Anomaly scores from the command line: backtests over files and over stored rollups."""
