"""torchvision's vision transformer, made narrow: state dict, images, logits, loss, every gradient and the updated parameters.

    python scripts/golden/vit.py crates/zoo/tests/golden
    python scripts/golden/vit.py --full target/golden       # vit_b_16
"""

from torchvision.models.vision_transformer import VisionTransformer, vit_b_16

from common import arguments, save
from resnet_run import golden


def narrow_vit(**options):
    return VisionTransformer(image_size=12, patch_size=4, num_layers=2, num_heads=2, hidden_dim=12, mlp_dim=20,
                             num_classes=10, **options)


if __name__ == "__main__":
    out, full = arguments(__doc__)
    if full:
        save(golden(vit_b_16(), channels=3, size=224, batch=1, seed=1), out, "vit_full.safetensors")
        raise SystemExit
    save(golden(narrow_vit(), channels=3, size=12, batch=2, seed=5), out, "vit.safetensors")
    save(golden(narrow_vit(representation_size=8), channels=3, size=12, batch=2, seed=6), out, "vit_pre_logits.safetensors")
