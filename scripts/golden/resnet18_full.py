"""torchvision's resnet18 at its full width, for a test that is run by hand (the file is 90 MB and not checked in):

    python scripts/golden/resnet18_full.py target/golden
    WGRAD_RESNET18=target/golden/resnet18_full.safetensors cargo test --release -p wgrad-zoo -- --ignored full_resnet18
"""

from common import out_dir, save
from resnet_run import golden
from torchvision.models import resnet18

out = out_dir(__doc__)
save(golden(resnet18(num_classes=1000), channels=3, size=64, batch=2, seed=1), out, "resnet18_full.safetensors")
