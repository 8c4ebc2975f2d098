"""Experiments with the anomaly model on labelled corpora: which constants hold elsewhere, too."""
