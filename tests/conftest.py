"""What every test needs: one thread, and a model small enough to train in milliseconds."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import pytest


@pytest.fixture
def tiny_model():
    """A two-layer causal model over 40 words, the same at every call."""
    import torch
    from transformers import ArceeConfig, ArceeForCausalLM

    torch.set_num_threads(1)
    config = ArceeConfig(
        vocab_size=40,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )

    def make():
        torch.manual_seed(0)
        model = ArceeForCausalLM(config)
        for parameter in model.parameters():
            if parameter.ndim == 2:
                torch.nn.init.normal_(parameter, 0.0, 0.2)
        return model

    return make


@pytest.fixture
def token_rows():
    """Rows of 5 to 30 random tokens, a third of each a prompt, ending with the end token."""
    from triaxis.axes.optimization import Row

    rng = np.random.default_rng(0)

    def make(n):
        rows = []
        for i in range(n):
            length = int(rng.integers(5, 30))
            tokens = (*(int(t) for t in rng.integers(2, 40, length)), 1)
            rows.append(Row(f"row-{i}", tokens, length // 3))
        return rows

    return make


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder that the test is in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
