"""OTLP metrics: from the wire bytes of a request to samples and labels."""
