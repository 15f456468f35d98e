"""The streaming graph against the offline one, and its ring buffers."""

import torch

from models.causal import State
from models.hop_graph import FIELD, GraphNetwork
from models.hop_stream_graph import AudioFeature, StreamGraph

NODES, FRAMES = 5, 30


def same_weights() -> tuple[StreamGraph, GraphNetwork]:
    """Return the streaming graph and the offline network with its weights, in float64."""
    torch.manual_seed(2)
    offline = GraphNetwork(NODES, 64, 23).double().eval()
    stream = StreamGraph("g", NODES, channels=64, skip=256, end=512, outputs=23).double().eval()
    for name in ("source", "target"):
        getattr(stream, name).data = getattr(offline, name).data
    offline.start.weight.data = torch.eye(64).double()[:, :, None, None]
    offline.start.bias.data.zero_()
    skips = [layer.skip for layer in offline.layers]
    stream.skip.weight.data = torch.cat([s.weight.data[:, :, 0, 0] for s in skips], 1)
    stream.skip.bias.data = torch.stack([s.bias.data for s in skips]).sum(0)
    for ours, theirs in ((stream.hidden, offline.hidden), (stream.end, offline.end)):
        ours.weight.data, ours.bias.data = theirs.weight.data[:, :, 0, 0], theirs.bias.data
    for ours, theirs in zip(stream.layers, offline.layers, strict=True):
        # [2 x out, past and present x in]
        gates = [
            torch.cat([c.weight.data[:, :, 0, k] for k in (0, 1)], 1)
            for c in (theirs.filter, theirs.gate)
        ]
        ours.gates.weight.data = torch.cat(gates, 0)
        ours.gates.bias.data = torch.cat([theirs.filter.bias.data, theirs.gate.bias.data])
        if theirs.mix is None:
            continue
        ours.mix.weight.data = torch.cat(theirs.mix.weight.data[:, :, 0, 0].split(64, 1), 0)
        theirs.mix.bias.data.zero_()  # the norm that follows has a shift of its own
        for part in ("weight", "bias"):
            getattr(theirs.norm, part).data.uniform_(0.5, 1.5)
        theirs.norm.running_mean.uniform_(-0.3, 0.3)
        theirs.norm.running_var.uniform_(0.5, 2.0)
        ours.norm.load_state_dict(theirs.norm.state_dict())
    return stream, offline


@torch.no_grad()
def test_it_is_the_offline_graph_network() -> None:
    stream, offline = same_weights()
    x = torch.randn(2, 64, NODES, FRAMES).double()
    want = offline(x, causal=True).permute(2, 0, 3, 1)
    got = stream(x.permute(2, 0, 3, 1).contiguous())
    torch.testing.assert_close(got, want, atol=1e-12, rtol=0)


@torch.no_grad()
def test_ring_buffers_equal_the_whole_sequence() -> None:
    """hop.md 11: in float64 exact, to the order of sums."""
    stream, _ = same_weights()
    x = torch.randn(NODES, 2, FRAMES, 64).double()
    whole = stream(x)
    state: State = {n: torch.zeros(2, *s).double() for n, s in stream.shapes().items()}
    for frame in range(FRAMES):
        new: State = {}
        got = stream.step(x[:, :, frame].transpose(0, 1), state, new)
        torch.testing.assert_close(got.transpose(0, 1), whole[:, :, frame], atol=1e-13, rtol=0)
        state = new


@torch.no_grad()
def test_a_frame_is_seen_for_thirteen() -> None:
    stream, _ = same_weights()
    x = torch.randn(NODES, 1, FRAMES, 64).double()
    later = x.clone()
    later[:, :, 10] += 1
    moved = (stream(later) - stream(x)).abs().amax((0, 1, 3)) > 0
    assert moved.nonzero()[:, 0].tolist() == list(range(10, 10 + FIELD))


@torch.no_grad()
def test_the_audio_feature_sees_three_frames() -> None:
    torch.manual_seed(0)
    audio, image = AudioFeature("a", 6, 8, 4).double(), torch.randn(1, 12, 6).double()
    whole = audio(image)[0]
    state: State = {n: torch.zeros(1, *s).double() for n, s in audio.shapes().items()}
    for frame in range(12):
        new: State = {}
        torch.testing.assert_close(audio.step(image[:, frame], state, new)[0], whole[frame])
        state = new
    later = image.clone()
    later[0, 5] += 1
    moved = (audio(later)[0] - whole).abs().amax(1) > 0
    assert moved.nonzero()[:, 0].tolist() == [5, 6, 7]
