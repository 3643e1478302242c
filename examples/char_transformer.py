"""A small language model of Python's own manual, one character at a time, with a cosine schedule.

tune-mnist run --task examples/char_transformer.py --vary lr=0.001,0.003,0.01,0.03 --minimize val_loss

The schedule has to know its end, so `train` asks for `epochs`; a longer training is then another run, from epoch 1.
"""

from pydoc_data.topics import topics  # the text differs a little between releases of Python

import torch
from pydantic import BaseModel, Field
from torch import nn
from torch.nn.functional import cross_entropy

EPOCHS = 8
LETTERS, CONTEXT, BATCH = 128, 64, 32  # ASCII; characters that the model sees at once; pieces of text in a step


class Config(BaseModel):
    lr: float = Field(0.003, gt=0)
    width: int = Field(64, ge=4)
    steps: int = Field(100, ge=1)  # in an epoch
    seed: int = 1


class Model(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.letters, self.places = nn.Embedding(LETTERS, width), nn.Embedding(CONTEXT, width)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, nn.LayerNorm(width), enable_nested_tensor=False)
        self.out = nn.Linear(width, LETTERS)

    def loss(self, text):
        mask = nn.Transformer.generate_square_subsequent_mask(CONTEXT)
        seen = self.letters(text[:, :-1]) + self.places.weight
        return cross_entropy(self.out(self.layers(seen, mask, is_causal=True)).mT, text[:, 1:])


def train(config: Config, state=None, epochs=EPOCHS):
    text = torch.tensor(list("\n".join(topics[name] for name in sorted(topics)).encode("ascii", "replace")))
    text, val_text = (part.unfold(0, CONTEXT + 1, 1) for part in text.split(len(text) * 9 // 10 + 1))
    torch.manual_seed(config.seed)
    model = Model(config.width)
    optimizer = torch.optim.AdamW(model.parameters(), config.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * config.steps)
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    for name, saved in (state or {}).items():
        parts[name].load_state_dict(saved)
    epoch = schedule.last_epoch // config.steps
    while True:
        torch.manual_seed(1000 * config.seed + epoch)  # each epoch seeds itself: no generator to save
        for _ in range(config.steps):
            optimizer.zero_grad()
            model.loss(text[torch.randint(len(text), (BATCH,))]).backward()
            optimizer.step()
            schedule.step()
        epoch += 1
        with torch.no_grad():
            yield {"val_loss": model.loss(val_text[::200])}, {name: part.state_dict() for name, part in parts.items()}
