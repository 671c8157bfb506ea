"""/session/metrics, as a monitoring system reads it: Prometheus' text format."""

import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import suite  # noqa: E402
from support.daemon import opened  # noqa: E402
from support.local import LocalTestCase  # noqa: E402

SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\d+)')


def parse(text):
    """{(name, labels): value}; each metric has one HELP and one TYPE, before its samples, which stand together."""
    samples, types, metric = {}, {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            metric = line.split()[2]
            assert metric not in types, line
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name == metric and kind in ("counter", "gauge"), line
            assert (kind == "counter") == name.endswith("_total"), line
            types[name] = kind
        else:
            name, labels, value = SAMPLE.fullmatch(line).groups()
            assert name == metric, line
            key = (name, tuple(sorted(re.findall(r'([a-z]+)="((?:[^"\\]|\\.)*)"', labels or ""))))
            assert key not in samples, line
            samples[key] = int(value)
    return samples


class Metrics(LocalTestCase):
    def value(self, name, **labels):
        text = (self.mount.path / "metrics").read_text(encoding="utf-8")
        self.assertTrue(text.endswith("\n"))
        return parse(text).get((f"sessionfs_{name}", tuple(sorted(labels.items()))))

    def test_a_session_in_numbers(self):
        client, ours, server, theirs = self.pair()
        one = {"endpoint": client.name, "session": ours.name, "peer": server.name, "service": "s"}
        other = {"endpoint": server.name, "session": theirs.name, "peer": client.name, "service": "s"}
        self.assertEqual(self.value("session_written_bytes_total", **one), 0)
        with opened(ours, os.O_WRONLY) as out, opened(theirs, os.O_RDONLY) as data:
            os.write(out, b"12345")
            self.assertEqual(os.read(data, 3), b"123")
        self.assertEqual(self.value("session_written_bytes_total", **one), 5)
        self.assertEqual(self.value("session_received_bytes_total", **other), 5)
        self.assertEqual(self.value("session_read_bytes_total", **other), 3)
        self.assertEqual(self.value("session_up", **one), 1)
        self.assertEqual(self.value("service_waiting", endpoint=server.name, service="s"), 0)
        self.assertEqual(self.value("endpoint_up", endpoint=client.name), 1)
        client.command("suspend")
        self.assertEqual(self.value("session_up", **one), 0)

    def test_what_the_host_counts(self):
        connected, lost = (self.value("transitions_total", transition=number) for number in ("T21", "T1"))
        made = self.value("connections_made_total")
        client, ours, server, _ = self.pair()
        one = {"endpoint": client.name, "session": ours.name, "peer": server.name, "service": "s"}
        self.assertEqual(self.value("transitions_total", transition="T21"), connected + 1)
        self.assertEqual(self.value("connections_made_total"), made + 2, "each side has an end of it")
        self.assertEqual(self.value("session_resent_bytes_total", **one), 0)
        checkpoints = self.value("session_checkpoints_total", **one)
        with opened(ours, os.O_WRONLY) as out:
            os.write(out, b"12345")
            os.fsync(out)
        self.assertEqual(self.value("transitions_total", transition="T21"), connected + 1, "bytes are no transition")
        self.assertGreaterEqual(self.value("session_checkpoints_total", **one), checkpoints)
        self.assertEqual(self.value("transitions_total", transition="T1"), lost)
        self.assertEqual(self.value("interface_up", interface="lo"), 1)
        self.assertIsNotNone(self.value("connections_lost_total"))

    def test_a_file_that_is_only_read(self):
        self.assertIn("metrics", os.listdir(self.mount.path))
        self.assert_errno(13, os.open, self.mount.path / "metrics", os.O_WRONLY)
        self.assert_errno(17, os.mkdir, self.mount.path / "metrics")
        self.assertIsNotNone(re.search(r'sessionfs_info\{version="[0-9.]+",domain="local"\} 1\n',
                                       (self.mount.path / "metrics").read_text(encoding="utf-8")))


if __name__ == "__main__":
    suite.main()
