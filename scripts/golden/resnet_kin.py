"""Relatives of the residual networks: pre-activation, wide, plain, ResNeXt, squeeze-and-excitation; a training step of each.

    python scripts/golden/resnet_kin.py crates/zoo/tests/golden

Also prints parameter counts that a test of the zoo states.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torchvision.models.resnet import BasicBlock, Bottleneck

from common import out_dir, save
from resnet_models import CifarResNet, NarrowResNet, PadShortcut
from resnet_run import golden


class PreBlock(nn.Module):
    """Norm and ReLU before each convolution; a projection takes the first activation."""

    def __init__(self, inputs, width, stride, bottleneck, project):
        super().__init__()
        outputs = 4 * width if bottleneck else width
        convs = [(inputs, width, 3, stride), (width, width, 3, 1)]
        if bottleneck:
            convs = [(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
        for i, (a, b, k, s) in enumerate(convs):
            setattr(self, f"bn{i + 1}", nn.BatchNorm2d(a))
            setattr(self, f"conv{i + 1}", nn.Conv2d(a, b, k, s, k // 2, bias=False))
        self.count, self.downsample, self.pad = len(convs), None, None
        if stride != 1 or inputs != outputs:
            if project:
                self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False))
            else:
                self.pad = PadShortcut()

    def forward(self, x):
        shortcut, out = x, x
        for i in range(1, self.count + 1):
            out = F.relu(getattr(self, f"bn{i}")(out))
            if i == 1 and self.downsample:
                shortcut = self.downsample(out)
            out = getattr(self, f"conv{i}")(out)
        return out + (self.pad(x) if self.pad else shortcut)


class PreResNet(nn.Module):
    def __init__(self, blocks, stem=16, width=16, channels=3, bottleneck=False, project=False, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, stem, 3, padding=1, bias=False)
        inputs = stem
        for stage in range(3):
            layers = []
            for i in range(blocks):
                layers.append(PreBlock(inputs, width << stage, 2 if stage and not i else 1, bottleneck, project))
                inputs = (width << stage) * (4 if bottleneck else 1)
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        self.bn = nn.BatchNorm2d(inputs)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        return self.fc(F.adaptive_avg_pool2d(F.relu(self.bn(x)), 1).flatten(1))


class Plain(CifarResNet):
    """Without shortcuts."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for m in self.modules():
            if isinstance(m, BasicBlock):
                m.downsample = None
                m.forward = lambda x, m=m: F.relu(m.bn2(m.conv2(F.relu(m.bn1(m.conv1(x))))))


class Excite(nn.Module):
    def __init__(self, channels):
        super().__init__()
        reduced = max(8, int(channels / 16 + 4) // 8 * 8)
        self.fc1, self.fc2 = nn.Conv2d(channels, reduced, 1), nn.Conv2d(reduced, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)))))


class ExcitedBlock(BasicBlock):
    def __init__(self, inplanes, planes, *args, **kwargs):
        super().__init__(inplanes, planes, *args, **kwargs)
        self.se = Excite(planes)

    def forward(self, x):
        out = self.se(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(out + (self.downsample(x) if self.downsample else x))


class NarrowResNeXt(NarrowResNet):
    def __init__(self, *args, groups, width_per_group, **kwargs):
        self.grouping = (groups, width_per_group)
        super().__init__(*args, **kwargs)

    def _make_layer(self, *args, **kwargs):
        self.groups, self.base_width = self.grouping
        return super()._make_layer(*args, **kwargs)


if __name__ == "__main__":
    out = out_dir(__doc__)
    count = lambda model: sum(p.numel() for p in model.parameters())
    print("preact_resnet110", count(PreResNet(18)))
    print("preact_resnet164", count(PreResNet(18, bottleneck=True, project=True)))
    print("wrn28_10", count(PreResNet(4, width=160, project=True)))
    print("wrn16_4", count(PreResNet(2, width=64, project=True)))
    print("resnet1202", count(CifarResNet(1202, 10)))
    torch.manual_seed(0)
    run = dict(size=12, batch=2)
    save(golden(PreResNet(1, 4, 4, 1), channels=1, seed=3, **run), out, "preact_basic.safetensors")
    save(golden(PreResNet(1, 3, 3, 1, True, True), channels=1, seed=4, **run), out, "preact_bottleneck.safetensors")
    save(golden(PreResNet(1, 3, 6, 1, project=True), channels=1, seed=5, **run), out, "wide.safetensors")
    save(golden(Plain(8, 10, width=4, channels=1), channels=1, seed=6, **run), out, "plain.safetensors")
    resnext = NarrowResNeXt(Bottleneck, [1, 1, 1, 1], width=2, classes=10, groups=4, width_per_group=32)
    save(golden(resnext, channels=3, size=48, batch=2, seed=7), out, "resnext.safetensors")
    excited = NarrowResNet(ExcitedBlock, [1, 1, 1, 1], width=4, classes=10)
    save(golden(excited, channels=3, size=48, batch=2, seed=8), out, "seresnet.safetensors")
