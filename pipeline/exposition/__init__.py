"""Text exposition of metrics (Prometheus, OpenMetrics): from the text of a body to samples."""
