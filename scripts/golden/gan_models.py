"""DCGAN as PyTorch's example has it (github.com/pytorch/examples, dcgan/main.py), of any size, and the MNIST form of textbooks."""

import torch
import torch.nn as nn
import torch.nn.functional as F


def stages(size):
    """The smallest resolution, and how often it doubles."""
    doublings = 0
    while size >= 8:
        size, doublings = size // 2, doublings + 1
    return size, doublings


class Generator(nn.Module):
    def __init__(self, size, channels, latent, width):
        super().__init__()
        base, doublings = stages(size)
        layers, inputs = [], latent
        for i in reversed(range(doublings)):
            outputs = width << i
            conv = (base, 1, 0) if inputs == latent and not layers else (4, 2, 1)
            layers += [nn.ConvTranspose2d(inputs, outputs, *conv, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
            inputs = outputs
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(inputs, channels, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, z):
        return self.main(z)


class Discriminator(nn.Module):
    """Without the sigmoid at the end."""

    def __init__(self, size, channels, width, norm=True):
        super().__init__()
        base, doublings = stages(size)
        layers = [nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
        for i in range(1, doublings):
            layers.append(nn.Conv2d(width << (i - 1), width << i, 4, 2, 1, bias=False))
            layers += [nn.BatchNorm2d(width << i) if norm else nn.Identity(), nn.LeakyReLU(0.2)]
        self.main = nn.Sequential(*layers, nn.Conv2d(width << (doublings - 1), 1, base, 1, 0, bias=False))

    def forward(self, x):
        return self.main(x).view(-1)


class MnistGenerator(nn.Module):
    """Keras' layers: SAME transposed convolutions cut off (k - s) // 2 before and the rest after."""

    def __init__(self, latent, width):
        super().__init__()
        w = self.width = width
        self.fc = nn.Linear(latent, 4 * w * 49, bias=False)
        self.bn0 = nn.BatchNorm1d(4 * w * 49, eps=1e-3, momentum=0.01)
        self.up1 = nn.ConvTranspose2d(4 * w, 2 * w, 5, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(2 * w, eps=1e-3, momentum=0.01)
        self.up2 = nn.ConvTranspose2d(2 * w, w, 5, 2, bias=False)
        self.bn2 = nn.BatchNorm2d(w, eps=1e-3, momentum=0.01)
        self.up3 = nn.ConvTranspose2d(w, 1, 5, 2, bias=False)

    def forward(self, z):
        x = F.leaky_relu(self.bn0(self.fc(z)), 0.3).view(-1, 4 * self.width, 7, 7)
        x = F.leaky_relu(self.bn1(self.up1(x)[..., 2:-2, 2:-2]), 0.3)
        x = F.leaky_relu(self.bn2(self.up2(x)[..., 1:-2, 1:-2]), 0.3)
        return torch.tanh(self.up3(x)[..., 1:-2, 1:-2])


class MnistDiscriminator(nn.Module):
    """Without dropout, which draws other numbers everywhere, and without the sigmoid."""

    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 5, 2)
        self.conv2 = nn.Conv2d(width, 2 * width, 5, 2)
        self.fc = nn.Linear(2 * width * 49, 1)

    def forward(self, x):
        x = F.leaky_relu(self.conv1(F.pad(x, (1, 2, 1, 2))), 0.3)
        x = F.leaky_relu(self.conv2(F.pad(x, (1, 2, 1, 2))), 0.3)
        return self.fc(x.flatten(1)).view(-1)
