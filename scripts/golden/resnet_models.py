"""Residual networks as PyTorch modules: torchvision's, made narrow, and the CIFAR form."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet


class NarrowResNet(ResNet):
    """torchvision's ResNet with `width` in place of 64 channels."""

    def __init__(self, block, layers, width, classes):
        self.width = width
        super().__init__(block, layers)
        self.fc = nn.Linear(8 * width * block.expansion, classes)

    def _make_layer(self, block, planes, *args, **kwargs):
        if planes == 64:
            self.inplanes = self.width
            self.conv1 = nn.Conv2d(3, self.width, 7, stride=2, padding=3, bias=False)
            self.bn1 = nn.BatchNorm2d(self.width)
        return super()._make_layer(block, planes * self.width // 64, *args, **kwargs)


class PadShortcut(nn.Module):
    """Option A: every second pixel, and channels of zeros."""

    def forward(self, x):
        more = x.shape[1]
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, more // 2, more - more // 2))


class CifarResNet(nn.Module):
    """The form for small images, from torchvision's basic block."""

    def __init__(self, depth, classes, width=16, channels=3):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        inputs = width
        for stage in range(3):
            outputs = width << stage
            blocks = []
            for i in range((depth - 2) // 6):
                down = stage > 0 and i == 0
                blocks.append(BasicBlock(inputs, outputs, 2 if down else 1, PadShortcut() if down else None))
                inputs = outputs
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(4 * width, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


def narrow_resnet18():
    return NarrowResNet(BasicBlock, [2, 2, 2, 2], width=4, classes=10)


def narrow_resnet14():
    """ResNet-50 with one bottleneck in each stage."""
    return NarrowResNet(Bottleneck, [1, 1, 1, 1], width=2, classes=10)


def narrow_resnet20():
    return CifarResNet(20, classes=10, width=3, channels=1)
