"""seq2seq, Speech2Gesture, Joint Embedding and DiffGesture against their golden files."""

import numpy as np
import pytest
import torch
from torch import nn

from models import longform
from models.diffgesture import DiffGesture, SamplingNoise, Schedule
from models.joint_embedding import JointEmbedding
from models.longform import Window
from models.melspectrogram import ha2g_log_mel
from models.seq2seq import Seq2Seq
from models.speech2gesture import PatchDiscriminator, Speech2GestureGenerator, same_padding
from models.upstream import network_parts
from streamer.skeleton import load_skeleton
from tests.golden_files import (
    ATOL,
    RTOL,
    SETS,
    assert_close,
    fill,
    golden,
    layout,
    one_thread,  # noqa: F401  (an autouse fixture)
    parameters,
    published_state,
    tensor,
)
from tests.unit.test_trimodal import words_of

WORDS = 100
WIDTH = {"ted_gesture": 256, "ted_expressive": 512}


def filled(model: nn.Module, file: str, weights: str) -> nn.Module:
    (part,) = network_parts(model)
    fill(part, weights, layout(f"baseline_{file}_state_dict")[weights])
    return model


def dim(name: str) -> int:
    return 3 * load_skeleton(name).vectors


def seq2seq(name: str) -> nn.Module:
    shapes = layout("baseline_seq2seq_state_dict")[f"seq2seq_{name}"]
    words = shapes["encoder.embedding.weight"][0]
    return filled(Seq2Seq(dim(name), words=words), "seq2seq", f"seq2seq_{name}")


def speech2gesture(name: str) -> nn.Module:
    return filled(Speech2GestureGenerator(dim(name)), "speech2gesture", f"s2g_gen_{name}")


def joint_embedding(name: str) -> nn.Module:
    shapes = layout("baseline_joint_embedding_state_dict")[f"joint_{name}"]
    words = shapes["context_encoder.text_encoder.embedding.weight"][0]
    return filled(JointEmbedding(dim(name), words=words), "joint_embedding", f"joint_{name}")


def diffgesture(name: str, steps: int = 500) -> DiffGesture:
    """Weights from the file; the schedule is computed, never filled (its `meta`)."""
    model = DiffGesture(dim(name), width=WIDTH[name], steps=steps)
    (part,) = network_parts(model)
    shapes = layout("baseline_diffgesture_state_dict")[f"diffgesture_{name}"]
    learned = {k: v for k, v in shapes.items() if ".var_sched." not in k}
    state = published_state(f"diffgesture_{name}", learned)
    from models.upstream import dump_parts, load_parts

    own = dump_parts((part,))["state_dict"]
    state |= {k: v for k, v in own.items() if ".var_sched." in k}
    load_parts((part,), {"state_dict": state})
    return model.eval()


def clip(want: dict[str, np.ndarray], generate: longform.Generate) -> list[np.ndarray]:
    samples = want["long_in_audio_int16"]
    return longform.synthesise(len(samples), want["long_in_seed"], generate)


@pytest.mark.parametrize("name", SETS)
@torch.no_grad()
def test_seq2seq(name: str) -> None:
    want, model = golden(f"baseline_seq2seq_{name}"), seq2seq(name)
    words, lengths = tensor(want["in_text"]), tensor(want["in_lengths"])
    encoded, hidden = model.get_submodule("encoder")(words, lengths)
    assert_close(encoded, want["encoder_outputs"])
    assert_close(hidden, want["encoder_hidden"])
    poses, attention = model(words, lengths, tensor(want["in_poses"])[:, :4])
    assert_close(attention, want["attention"])
    assert_close(poses, want["out"])

    timed = words_of(want, "long")

    def one(window: Window, seeds: np.ndarray | None) -> np.ndarray:
        listed = torch.from_numpy(longform.listed_words(timed, window))[None]
        assert seeds is not None
        out, _ = model(listed, torch.tensor([listed.shape[1]]), torch.from_numpy(seeds)[None])
        return out[0].numpy()

    raw = clip(want, one)
    assert_close(np.stack(raw), want["long_window_out"])
    assert_close(longform.smooth_seams(longform.join(raw), len(raw)), want["long_out"])


@torch.no_grad()
def test_seq2seq_depends_on_the_longest_text_of_the_batch() -> None:
    """No mask, as published: padding takes attention (baselines.md 3.3)."""
    model = seq2seq("ted_gesture")
    words, seeds = torch.tensor([[1, 8, 9, 2]]), torch.randn(1, 4, 27)
    alone, _ = model(words, torch.tensor([4]), seeds)
    padded = nn.functional.pad(words, (0, 3))
    beside, _ = model(padded, torch.tensor([4]), seeds)
    assert not torch.allclose(alone, beside, atol=1e-4)


@pytest.mark.parametrize("name", SETS)
@torch.no_grad()
def test_speech2gesture(name: str) -> None:
    want, model = golden(f"baseline_speech2gesture_{name}"), speech2gesture(name)
    assert isinstance(model, Speech2GestureGenerator)
    mel, poses = tensor(want["in_spec"]), tensor(want["in_poses"])
    image = model.audio.convolved(mel)
    assert_close(image[:, ::16], want["conv2d_out"])
    assert_close(model.audio.resized(image), want["resized"])
    assert_close(model.audio(mel), want["audio_feat"])
    assert_close(model.seeds(poses[:, :4].flatten(1)), want["pre_pose_feat"])
    out = model(mel, poses[:, :4])
    assert_close(out, want["out"])
    judge = filled(PatchDiscriminator(dim(name)), "speech2gesture", f"s2g_dis_{name}")
    assert_close(judge(poses.diff(dim=1)), want["dis_on_target_motion"])
    assert_close(judge(out.diff(dim=1)), want["dis_on_out_motion"])

    spectrogram = ha2g_log_mel(want["long_in_audio_int16"].astype(np.float32) / 32768)
    assert_close(spectrogram, want["long_spectrogram"], atol=0.0625)

    def one(window: Window, seeds: np.ndarray | None) -> np.ndarray:
        cut = longform.spectrogram_columns(
            want["long_spectrogram"], window, columns=71, reference_offset=True
        )
        assert cut.shape[1] == want["long_window_columns"][window.number]
        assert seeds is not None
        return model(torch.from_numpy(cut)[None], torch.from_numpy(seeds)[None])[0].numpy()

    raw = clip(want, one)
    assert_close(np.stack(raw), want["long_window_out"])
    assert_close(longform.join(raw), want["long_out"])


@pytest.mark.parametrize(
    ("n", "kernel", "stride", "want"),
    [
        (70, 3, 1, [1, 1]),
        (8, 4, 1, [1, 2]),
        (34, 4, 2, [1, 1]),
        (35, 4, 2, [1, 2]),
        (9, 4, 2, [1, 2]),
    ],
)
def test_same_padding(n: int, kernel: int, stride: int, want: list[int]) -> None:
    assert same_padding([n], kernel, stride) == want


@pytest.mark.parametrize("name", SETS)
@torch.no_grad()
def test_joint_embedding(name: str) -> None:
    want, model = golden(f"baseline_joint_embedding_{name}"), joint_embedding(name)
    assert isinstance(model, JointEmbedding)
    words, samples = tensor(want["in_text"]), tensor(want["in_audio_int16"])
    poses, noise = tensor(want["in_poses"]), tensor(want["in_eps"])
    assert_close(model.context.audio(samples), want["audio_feat"])
    assert_close(model.context.text(words), want["text_feat"])
    spoken, code = model.from_speech(words, samples, poses[:, :4], noise)
    assert_close(code.z, want["context_z"])
    assert_close(code.mean, want["context_mu"])
    assert_close(code.log_variance, want["context_logvar"])
    assert_close(spoken, want["out_speech"])
    shown, pose = model.from_pose(poses, poses[:, :4])
    assert_close(pose.feature, want["pose_mu"])
    assert pose.log_variance is not None
    assert_close(pose.log_variance, want["pose_logvar"])
    assert_close(shown, want["out_pose"])

    timed = words_of(want, "long")
    audio = want["long_in_audio_int16"].astype(np.float32) / 32768
    draws = tensor(want["long_in_eps"])

    def one(window: Window, seeds: np.ndarray | None) -> np.ndarray:
        assert seeds is not None
        return model(
            torch.from_numpy(longform.frame_words(timed, window))[None],
            torch.from_numpy(longform.raw_samples(audio, window))[None],
            torch.from_numpy(seeds)[None],
            draws[window.number][None],
        )[0].numpy()

    raw = clip(want, one)
    assert_close(np.stack(raw), want["long_window_out"])
    assert_close(longform.join(raw), want["long_out"])


def test_diffusion_schedule() -> None:
    want, schedule = golden("baseline_diffgesture_ted_gesture"), Schedule()
    assert_close(schedule.beta, want["schedule_betas"])
    assert_close(schedule.alpha, want["schedule_alphas"])
    assert_close(schedule.alpha_bar, want["schedule_alpha_bars"])
    assert_close(schedule.get_buffer("sigma_flexible"), want["schedule_sigmas_flex"])
    assert_close(schedule.sigma, want["schedule_sigmas_inflex"])
    assert schedule.sigma[1] == 0


@pytest.mark.parametrize("name", SETS)
@torch.no_grad()
def test_diffgesture(name: str) -> None:
    want, model = golden(f"baseline_diffgesture_{name}"), diffgesture(name)
    samples, poses = tensor(want["in_audio_int16"]), tensor(want["in_poses"])
    assert_close(model.audio(samples), want["audio_feat"])
    assert_close(model.null_context[0], want["null_context"])
    context = model.context(samples, poses[:, :4])
    x = tensor(want["in_x"])
    null = model.null_context.unsqueeze(1).expand_as(context)
    for i, t in enumerate(int(t) for t in want["in_t"]):
        beta = model.schedule.beta[t].expand(len(x))
        assert_close(model.denoiser(x, beta, context), want["eps_cond"][i])
        assert_close(model.denoiser(x, beta, null), want["eps_uncond"][i])
        assert_close(model.estimate(x, t, context), want["eps_guided"][i])
    loss = model.loss(
        poses,
        context,
        tensor(want["in_loss_t"]),
        tensor(want["in_loss_null_mask"]),
        tensor(want["in_loss_noise"]),
    )
    assert_close(loss, want["loss"])
    model.audio.train()  # the mode of the repository's test scripts
    assert_close(model.audio(samples), want["audio_feat_batch_stats"])
    assert_close(model.audio(samples[:1]), want["audio_feat_batch_stats_first_only"])


def sampling_noise(want: dict[str, np.ndarray], window: int | None = None) -> SamplingNoise:
    """Return the file's draws (int8, in sixteenths) for a batch of one."""

    def draws(key: str) -> torch.Tensor:
        array = want[key] if window is None else want[key][window]
        return torch.from_numpy(array.astype(np.float32) / 16)

    return SamplingNoise(
        start=draws("in_noise_T_x16")[None],
        frame=draws("in_noise_frame_x16")[:, None],
        shared=draws("in_noise_shared_x16")[:, None],
    )


@pytest.mark.parametrize("name", SETS)
@torch.no_grad()
def test_diffgesture_sampling(name: str) -> None:
    """All 500 steps; poses of untrained weights grow to about 100, hence relative errors.

    500 sequential steps carry rounding along: the specification allows 2e-5 of
    the largest value.
    """
    want, model = golden(f"baseline_diffgesture_sampling_{name}"), diffgesture(name)
    noise = sampling_noise(want)
    context = model.context(tensor(want["in_audio_int16"]), tensor(want["in_poses"])[:, :4])
    kept = {int(t): row for t, row in zip(want["trajectory_t"], want["trajectory"], strict=True)}
    x = noise.start
    for t in range(500, -1, -1):
        if t in kept:
            atol = ATOL + 2e-5 * np.abs(kept[t]).max()
            assert_close(x[0], kept[t], atol=atol, rtol=RTOL)
        if t:
            x = model.reverse(x, t, context, noise)
    assert_close(x[0], want["out"], atol=ATOL + 2e-5 * np.abs(want["out"]).max())


@pytest.mark.parametrize("name", SETS)
def test_diffgesture_clip(name: str) -> None:
    want = golden(f"baseline_diffgesture_longform_{name}")
    model = diffgesture(name, steps=int(want["num_steps"]))
    assert_close(model.schedule.beta, want["schedule_betas"])
    audio = want["in_audio_int16"].astype(np.float32) / 32768

    def one(window: Window, seeds: np.ndarray | None) -> np.ndarray:
        assert seeds is not None
        samples = torch.from_numpy(longform.raw_samples(audio, window))[None]
        noise = sampling_noise(want, window.number)
        return model.sample(samples, torch.from_numpy(seeds)[None], noise)[0].numpy()

    raw = longform.synthesise(len(audio), want["in_seed"], one)
    assert_close(np.stack(raw), want["window_out"])
    assert_close(longform.join(raw), want["out"])


def test_stabiliser_keeps_unit_variance_and_shares_more_towards_the_end() -> None:
    noise = SamplingNoise.drawn((200, 34, 27), 40, torch.Generator().manual_seed(5))
    for t, share in ((40, 0.0), (24, 2.6e-6), (2, 0.72)):
        step = noise.at(t)
        assert step.var().item() == pytest.approx(1, abs=0.02)
        pairs = (step[:, 0] * step[:, 20]).mean().item()
        assert pairs == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize(
    ("build", "gesture", "expressive"),
    [
        (lambda d: Seq2Seq(d, words=WORDS), 1.97e6, 2.01e6),
        (Speech2GestureGenerator, 6.44e6, 6.48e6),
        (PatchDiscriminator, 0.17e6, 0.20e6),
        (lambda d: JointEmbedding(d, words=WORDS), 6.96e6, 7.00e6),
    ],
)
def test_parameter_counts(build, gesture: float, expressive: float) -> None:
    assert parameters(build(27)) == pytest.approx(gesture, abs=0.0051e6)
    assert parameters(build(126)) == pytest.approx(expressive, abs=0.0051e6)


def test_diffgesture_parameter_counts() -> None:
    assert parameters(DiffGesture(27, width=256)) == pytest.approx(6.46e6, abs=0.005e6)
    assert parameters(DiffGesture(126, width=512)) == pytest.approx(25.6e6, abs=0.05e6)
