"""Narrow U-Nets: state dict, images, logits, losses, every gradient and every updated tensor.

    python scripts/golden/unet.py crates/zoo/tests/golden

    python scripts/golden/unet.py --full target/golden      # the paper's network

Also prints the parameter counts that a test of the zoo states.
"""

from common import arguments, save
from unet_model import UNet
from unet_run import combined, golden, weighted

out, full = arguments(__doc__)
if full:
    model = UNet(1, 2, valid=True, norm=False)
    save(golden(model, weighted, (1, 1, 204, 188), seed=1), out, "unet_full.safetensors")
    raise SystemExit
for channels, classes, options in [
    (1, 2, {"valid": True, "norm": False}),
    (3, 2, {"valid": True, "norm": False}),
    (3, 2, {}),
    (3, 2, {"up": "bilinear"}),
    (3, 2, {"up": "nearest conv"}),
    (1, 2, {"width": 16, "depth": 3}),
]:
    count = sum(p.numel() for p in UNet(channels, classes, **options).parameters())
    print(f"{channels} to {classes}, {options}: {count} parameters")
# Seeds with which PyTorch's own f32 gradients agree with these in f64 to 1e-5, so that others can be held to 1e-4.
original = UNet(1, 2, width=2, depth=3, valid=True, norm=False)
save(golden(original, weighted, (1, 1, 108, 100), seed=1), out, "unet_original.safetensors")
padded = UNet(2, 3, width=4, depth=2, up="bilinear")
save(golden(padded, combined, (2, 2, 21, 18), seed=1, ignored=100), out, "unet_padded.safetensors")
