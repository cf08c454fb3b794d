"""Narrow residual networks: state dict, images, logits, loss, every gradient and the updated statistics.

    python scripts/golden/resnet.py crates/zoo/tests/golden

    python scripts/golden/resnet.py --full target/golden    # torchvision's resnet18

Also prints the parameter counts of the CIFAR form, which a test of the zoo states.
"""

from common import arguments, save
from resnet_models import CifarResNet, narrow_resnet14, narrow_resnet18, narrow_resnet20
from resnet_run import golden
from torchvision.models import resnet18

out, full = arguments(__doc__)
if full:
    save(golden(resnet18(num_classes=1000), channels=3, size=64, batch=2, seed=1), out, "resnet18_full.safetensors")
    raise SystemExit
for depth in [20, 32, 44, 56, 110]:
    print(f"resnet{depth}: {sum(p.numel() for p in CifarResNet(depth, 10).parameters())} parameters")
# Seeds with which PyTorch's own f32 gradients agree with these in f64 to 1e-5, so that others can be held to 1e-4.
save(golden(narrow_resnet18(), channels=3, size=64, batch=2, seed=19), out, "resnet18.safetensors")
save(golden(narrow_resnet14(), channels=3, size=64, batch=2, seed=51), out, "resnet14.safetensors")
save(golden(narrow_resnet20(), channels=1, size=14, batch=2, seed=20), out, "resnet20.safetensors")
