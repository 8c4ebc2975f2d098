"""Anomaly scores of windows, online: a model per series, compiled over all series at once."""
