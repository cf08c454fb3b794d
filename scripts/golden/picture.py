"""A small JPEG for the tests of wgrad_train::picture: red above, blue below. `python picture.py crates/train/tests/data`"""

import os

from common import out_dir
from PIL import Image

picture = Image.new("RGB", (24, 16), (220, 20, 20))
picture.paste((20, 20, 220), (0, 8, 24, 16))
path = os.path.join(out_dir(__doc__), "red_over_blue.jpg")
picture.save(path, quality=90, optimize=True)
print(path, os.path.getsize(path), "bytes")
