"""Crash and fault campaign: random faults under load, and proof that nothing is lost or wrong."""
