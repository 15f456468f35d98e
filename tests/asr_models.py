"""Tiny recognition models, written here and never downloaded, for the real libraries to run.

`tiny_sherpa` is a streaming LSTM transducer of sherpa-onnx that says "low" and
"high" when the voice's energy moves there; `tiny_whisper` a Whisper with random
weights and a vocabulary of letters.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

TOKENS = ("<blk>", "\u2581low", "\u2581hi", "gh")
_FEATURES, _CHUNK = 80, 4


def tiny_sherpa(folder: Path) -> Path:
    """Write tokens.txt, encoder.onnx, decoder.onnx and joiner.onnx; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{token} {i}" for i, token in enumerate(TOKENS)]
    (folder / "tokens.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    onnx.save(_encoder(), folder / "encoder.onnx")
    onnx.save(_decoder(), folder / "decoder.onnx")
    onnx.save(_joiner(), folder / "joiner.onnx")
    return folder


def _encoder() -> onnx.ModelProto:
    """Score each chunk of 40 ms: blank 1, low and high by where its energy is."""
    weights = np.zeros((_FEATURES, len(TOKENS)), np.float32)
    low, high = slice(2, 20), slice(55, 75)
    weights[low, 1], weights[high, 1] = 1 / 18, -1 / 20
    weights[:, 2:] = -weights[:, 1:2]
    bias = np.array([1, 0, 0, 0], np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["x", "axis"], ["mean"], keepdims=1),
        helper.make_node("MatMul", ["mean", "weights"], ["scores"]),
        helper.make_node("Add", ["scores", "bias"], ["encoder_out"]),
        helper.make_node("Identity", ["h"], ["next_h"]),
        helper.make_node("Identity", ["c"], ["next_c"]),
    ]
    state = ("h", "c")
    return _model(
        nodes,
        inputs={"x": ("N", _CHUNK, _FEATURES), **dict.fromkeys(state, (1, "N", 1))},
        outputs={"encoder_out": ("N", 1, len(TOKENS)), **{f"next_{s}": (1, "N", 1) for s in state}},
        constants={"axis": np.array([1]), "weights": weights, "bias": bias},
        metadata={
            "model_type": "lstm",
            "num_encoder_layers": 1,
            "T": _CHUNK,
            "decode_chunk_len": _CHUNK,
            "rnn_hidden_size": 1,
            "d_model": 1,
        },
    )


def _decoder() -> onnx.ModelProto:
    """What may follow the last token: not itself, and "gh" only "hi"."""
    never = np.zeros((len(TOKENS), len(TOKENS)), np.float32)
    never[:, 3] = -100
    never[1, 1] = never[2, 2] = never[3, 2] = never[3, 3] = -100
    never[2, 3] = 50
    nodes = [
        helper.make_node("Gather", ["y", "last"], ["token"], axis=1),
        helper.make_node("Gather", ["never", "token"], ["decoder_out"], axis=0),
    ]
    return _model(
        nodes,
        inputs={"y": ("N", 2)},
        outputs={"decoder_out": ("N", len(TOKENS))},
        constants={"last": np.array(1), "never": never},
        metadata={"vocab_size": len(TOKENS), "context_size": 2},
        integer="y",
    )


def _joiner() -> onnx.ModelProto:
    shape = ("N", len(TOKENS))
    return _model(
        [helper.make_node("Add", ["encoder_out", "decoder_out"], ["logit"])],
        inputs={"encoder_out": shape, "decoder_out": shape},
        outputs={"logit": shape},
        constants={},
        metadata={"joiner_dim": len(TOKENS)},
    )


def _model(
    nodes: list[onnx.NodeProto],
    *,
    inputs: dict[str, tuple[int | str, ...]],
    outputs: dict[str, tuple[int | str, ...]],
    constants: dict[str, np.ndarray],
    metadata: dict[str, int | str],
    integer: str = "",
) -> onnx.ModelProto:
    def values(shapes: dict[str, tuple[int | str, ...]]) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(
                name, TensorProto.INT64 if name == integer else TensorProto.FLOAT, shape
            )
            for name, shape in shapes.items()
        ]

    graph = helper.make_graph(
        nodes,
        "tiny",
        values(inputs),
        values(outputs),
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    helper.set_model_props(model, {key: str(value) for key, value in metadata.items()})
    onnx.checker.check_model(model)
    return model


def tiny_whisper(folder: Path, *, aligned: bool) -> Path:
    """Write a Whisper of random weights as `save_pretrained` does; return the folder.

    aligned: whether it names heads by which words can be aligned.
    """
    import torch
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizer,
    )

    letters = ["\u0120", *"abcdefghijklmnopqrstuvwxyz"]
    special = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|translate|>"]
    special += ["<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>"]
    special += ["<|notimestamps|>"]
    times = [f"<|{i * 0.02:.2f}|>" for i in range(1501)]
    vocabulary = {token: i for i, token in enumerate([*letters, *special, *times])}
    tokenizer = WhisperTokenizer(vocab=vocabulary, merges=[])
    ids = {name: vocabulary[f"<|{name}|>"] for name in ("endoftext", "startoftranscript")}
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=len(vocabulary),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_target_positions=64,
        bos_token_id=ids["endoftext"],
        eos_token_id=ids["endoftext"],
        pad_token_id=ids["endoftext"],
        decoder_start_token_id=ids["startoftranscript"],
    )
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        bos_token_id=ids["endoftext"],
        eos_token_id=ids["endoftext"],
        pad_token_id=ids["endoftext"],
        decoder_start_token_id=ids["startoftranscript"],
        is_multilingual=False,
        no_timestamps_token_id=vocabulary["<|notimestamps|>"],
        max_length=24,
        suppress_tokens=[],
        begin_suppress_tokens=[],
        return_timestamps=False,
        prev_sot_token_id=vocabulary["<|startofprev|>"],
        **({"alignment_heads": [[0, 0], [0, 1]]} if aligned else {}),
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
    return folder
