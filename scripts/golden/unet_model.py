"""U-Nets as PyTorch modules, with the names of milesial's widely used version."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class DoubleConv(nn.Module):
    def __init__(self, inputs, middle, outputs, valid, norm):
        super().__init__()
        layers = []
        for a, b in [(inputs, middle), (middle, outputs)]:
            layers.append(nn.Conv2d(a, b, 3, padding=0 if valid else 1, bias=not norm))
            layers += [nn.BatchNorm2d(b)] if norm else []
            layers.append(nn.ReLU())
        self.double_conv = nn.Sequential(*layers)

    def forward(self, x):
        return self.double_conv(x)


class Down(nn.Module):
    def __init__(self, inputs, outputs, valid, norm):
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(inputs, outputs, outputs, valid, norm))

    def forward(self, x):
        return self.maxpool_conv(x)


class Up(nn.Module):
    """`inputs` channels of the convolutions, half of them from the skip."""

    def __init__(self, inputs, outputs, up, valid, norm):
        super().__init__()
        if up == "bilinear":
            self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        elif up == "nearest conv":
            self.up = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(inputs, inputs // 2, 3, padding=1))
        else:
            self.up = nn.ConvTranspose2d(inputs, inputs // 2, 2, stride=2)
        self.conv = DoubleConv(inputs, inputs // 2, outputs, valid, norm)

    def forward(self, x, skip):
        x = self.up(x)
        for axis in (2, 3):
            room = skip.shape[axis] - x.shape[axis]
            if room == 1:
                x = F.pad(x, (0, 0, 0, 1) if axis == 2 else (0, 1, 0, 0))
            else:
                skip = skip.narrow(axis, room // 2, x.shape[axis])
        return self.conv(torch.cat([skip, x], dim=1))


class OutConv(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x):
        return self.conv(x)


class UNet(nn.Module):
    """The paper's with `valid`, else the padded form."""

    def __init__(self, channels, classes, width=64, depth=4, valid=False, norm=True, up="transposed"):
        super().__init__()
        self.depth = depth
        # Without parameters on the way up, what comes up must have half the channels already.
        half = 2 if up == "bilinear" else 1
        self.inc = DoubleConv(channels, width, width, valid, norm)
        for level in range(1, depth + 1):
            outputs = (width << level) // (half if level == depth else 1)
            setattr(self, f"down{level}", Down(width << level - 1, outputs, valid, norm))
        for i in range(1, depth + 1):
            level = depth - i
            outputs = (width << level) // (half if level > 0 else 1)
            setattr(self, f"up{i}", Up(width << level + 1, outputs, up, valid, norm))
        self.outc = OutConv(width, classes)

    def forward(self, x):
        seen = [self.inc(x)]
        for level in range(1, self.depth + 1):
            seen.append(getattr(self, f"down{level}")(seen[-1]))
        x = seen.pop()
        for i in range(1, self.depth + 1):
            x = getattr(self, f"up{i}")(x, seen.pop())
        return self.outc(x)
