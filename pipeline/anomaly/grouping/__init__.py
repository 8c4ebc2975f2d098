"""Anomalous windows of many series in, few events out: what became anomalous together."""
