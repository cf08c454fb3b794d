"""The paper's U-Net at its full width, for a test that is run by hand (the file is 380 MB and not checked in):

    python scripts/golden/unet_full.py target/golden
    WGRAD_UNET=target/golden/unet_full.safetensors cargo test --release -p wgrad-zoo -- --ignored full_unet
"""

from common import out_dir, save
from unet_model import UNet
from unet_run import golden, weighted

out = out_dir(__doc__)
model = UNet(1, 2, valid=True, norm=False)
save(golden(model, weighted, (1, 1, 204, 188), seed=1), out, "unet_full.safetensors")
