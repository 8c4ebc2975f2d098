"""The edge: HTTP in, records of samples and series out."""
