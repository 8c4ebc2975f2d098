"""What `observai doctor` says of records that Kafka has deleted too early."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from ops.doctor import lost_records

_METRICS = """# HELP observai_records_lost_total Records gone before they were read.
# TYPE observai_records_lost_total counter
observai_records_lost_total{partition="1",topic="samples"} 60.0
observai_records_lost_total{partition="2",topic="samples"} 2.0
observai_records_lost_created{partition="1",topic="samples"} 1.7e+09
"""


class Worker(BaseHTTPRequestHandler):
    """Says on /metrics that records are gone."""

    def do_GET(self) -> None:
        body = _METRICS.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_records_that_are_gone_are_a_failure_with_a_remedy() -> None:
    with HTTPServer(("127.0.0.1", 0), Worker) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        urls = {"worker": f"http://127.0.0.1:{server.server_port}", "edge": "http://127.0.0.1:1"}
        found = list(lost_records(urls))
        server.shutdown()

    (check,) = found
    assert (check.name, check.ok) == ("worker records", False)
    assert check.detail.startswith("62 records were gone")
    assert "observai verify --series 0 --repair" in check.detail
