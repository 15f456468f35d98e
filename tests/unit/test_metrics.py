import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streamer.metrics import NoMetrics, PrometheusMetrics, open_metrics


def samples(metrics: PrometheusMetrics) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families((metrics.render() or b"").decode())
    return {(s.name, *s.labels.values()): s.value for f in families for s in f.samples}


def test_everything_is_counted():
    metrics = PrometheusMetrics()
    for seconds in (0.004, 0.06, 0.07):
        metrics.step(seconds)
    metrics.mic_to_wire(0.012)
    metrics.sessions(3)
    metrics.clients(5)
    metrics.frames_sent("websocket")
    metrics.frames_sent("websocket", 4)
    metrics.frames_dropped("vmc", 2)
    metrics.reset()
    metrics.deadline_miss()
    got = samples(metrics)
    assert got["gesture_step_seconds_bucket", "0.005"] == 1
    assert got["gesture_step_seconds_bucket", "0.0667"] == 2  # the frame at 15 fps
    assert got["gesture_step_seconds_count",] == 3
    assert got["gesture_mic_to_wire_seconds_bucket", "0.015"] == 1
    assert got["gesture_sessions",] == 3
    assert got["gesture_clients",] == 5
    assert got["gesture_frames_sent_total", "websocket"] == 5
    assert got["gesture_frames_dropped_total", "vmc"] == 2
    assert got["gesture_resets_total",] == 1
    assert got["gesture_deadline_misses_total",] == 1


def test_two_servers_do_not_mix():
    one, other = PrometheusMetrics(), PrometheusMetrics()
    one.reset()
    assert samples(other)["gesture_resets_total",] == 0


def test_without_the_extra_nothing_is_counted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    metrics = open_metrics()
    assert isinstance(metrics, NoMetrics)
    metrics.step(0.1)
    metrics.frames_sent("websocket")
    assert metrics.render() is None


def test_both_count_the_same_things():
    public = {name for name in vars(PrometheusMetrics) if not name.startswith("_")}
    assert public == {name for name in vars(NoMetrics) if not name.startswith("_")}
