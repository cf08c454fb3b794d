"""The models by name. Networks come from torchvision, transformers and the scripts of golden files."""

import os
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../scripts/golden"))


class Model:
    """A network, and its step."""

    INPUTS = ("images", "labels")
    # Of the state dict, what the file need not have.
    DERIVED = ()

    def __init__(self, name, inputs):
        self.net = self.build(name, inputs)

    def local(self, name):
        """What the state dict calls a tensor of the file."""
        return name

    def start(self, rate):
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=rate)

    def infer(self, inputs):
        return self.net(inputs["images"])

    def loss(self, inputs):
        return F.cross_entropy(self.infer(inputs), inputs["labels"].long())

    def step(self, inputs):
        return self.descend(self.loss(inputs), self.optimizer).item()

    def descend(self, loss, optimizer):
        """One update; gives the loss without its graph."""
        optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.step(optimizer)
        self.scaler.update()
        return loss.detach()


class Small(Model):
    def build(self, name, _):
        if name == "mlp":
            return nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
        features = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        features += [nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
        return nn.Sequential(*features, nn.Linear(1568, 128), nn.ReLU(), nn.Linear(128, 10))


class ResNet(Model):
    def build(self, name, _):
        if name == "resnet20":
            from resnet_models import CifarResNet

            return CifarResNet(20, classes=10, channels=1)
        import torchvision.models

        return getattr(torchvision.models, name)(num_classes=1000)

    def start(self, rate):
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=rate, momentum=0.9, weight_decay=5e-4)


class UNet(Model):
    def build(self, *_):
        from unet_model import UNet

        return UNet(3, 2)


class Gpt(Model):
    """Hugging Face's, with PyTorch's fused attention."""

    INPUTS = ("tokens", "targets")
    DERIVED = ("lm_head.weight",)

    def build(self, name, _):
        from transformers import GPT2Config, GPT2LMHeadModel

        sizes = {
            "gpt_small": dict(vocab_size=256, n_positions=64, n_embd=128, n_layer=4, n_head=4),
            "gpt10m": dict(vocab_size=65, n_positions=256, n_embd=384, n_layer=6, n_head=6),
            "gpt124m": {},
        }[name]
        self.decoupled = name != "gpt_small"
        config = GPT2Config(**sizes, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, bos_token_id=0, eos_token_id=0, use_cache=False)
        return GPT2LMHeadModel(config)

    def local(self, name):
        return "transformer." + name

    def start(self, rate):
        kind = torch.optim.AdamW if self.decoupled else torch.optim.Adam
        self.optimizer = kind(self.net.parameters(), lr=rate)

    def infer(self, inputs):
        return self.net(inputs["tokens"].long()).logits

    def loss(self, inputs):
        return F.cross_entropy(self.infer(inputs).flatten(0, 1), inputs["targets"].long().flatten())


class Dcgan(Model):
    INPUTS = ("images", "z.judged", "z")

    def build(self, *_):
        from gan_models import Discriminator, Generator

        return nn.ModuleDict({"generator": Generator(64, 3, 100, 64), "discriminator": Discriminator(64, 3, 64)})

    def start(self, rate):
        parts = [self.net["discriminator"], self.net["generator"]]
        self.optimizers = [torch.optim.Adam(p.parameters(), lr=rate, betas=(0.5, 0.999)) for p in parts]

    def infer(self, inputs):
        return self.net["generator"](inputs["z"])

    def step(self, inputs):
        generator, judge = self.net["generator"], self.net["discriminator"]

        def bce(scores, label):
            return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, label))

        fake = generator(inputs["z.judged"]).detach()
        judged = self.descend(bce(judge(inputs["images"]), 1.0) + bce(judge(fake), 0.0), self.optimizers[0])
        # Its gradient passes through the discriminator, whose parameters want none.
        judge.requires_grad_(False)
        pleased = self.descend(bce(judge(self.infer(inputs)), 1.0), self.optimizers[1])
        judge.requires_grad_(True)
        return (judged + pleased).item()


class Yolo(Model):
    INPUTS = ("images", "boxes", "classes")

    def build(self, *_):
        from pytorch_yolo import network

        return network()

    def infer(self, inputs):
        return self.net(inputs["images"])[0]

    def loss(self, inputs):
        from pytorch_yolo import loss

        return loss(self.net, self.net(inputs["images"]), inputs["boxes"], inputs["classes"].long())


MODELS = {
    "mlp": Small,
    "mnist_cnn": Small,
    "resnet20": ResNet,
    "resnet18": ResNet,
    "resnet50": ResNet,
    "unet": UNet,
    "dcgan": Dcgan,
    "gpt_small": Gpt,
    "gpt10m": Gpt,
    "gpt124m": Gpt,
    "yolov3": Yolo,
}
