"""The demo: a recording and live metrics through the whole pipeline, checked and told."""
