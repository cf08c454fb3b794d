"""Narrow YOLOv3 networks: state dict, images, objects, decoded boxes, losses, every gradient and updated tensor.

    python scripts/golden/yolo.py crates/zoo/tests/golden

The files are made with the seed for which PyTorch's own f32 agrees best with its f64. At full depth and with random weights it
is off by 5 to 26 % in some gradient, whatever the seed, so there is no file of the full size: nothing could be told by it.
"""

import copy

import torch
from common import out_dir, save
from step import fill, training_step
from yolo_models import Yolo, backbone_and_heads, loss, tiny_sections

ANCHORS = [[5.0, 7.0], [9.0, 8.0], [12.0, 20.0], [22.0, 15.0], [24.0, 31.0], [33.0, 26.0], [35.0, 50.0], [52.0, 38.0], [60.0, 58.0]]
SIZE, CLASSES, OBJECTS = 64, 2, 4
IGNORE = 0.4


def objects(generator):
    """Two images' objects; where a row's width is 0 there is none. Exact in f32."""
    rows = torch.rand(2, OBJECTS, 4, generator=generator) * torch.tensor([0.96, 0.96, 0.7, 0.7]) + 0.02
    rows[..., 2:] += 0.05
    rows[1, 2:] = 0
    rows[0, 3] = rows[0, 0] + torch.tensor([0.001, 0.001, 0.002, 0.002])  # takes the first one's box
    return rows, torch.randint(0, CLASSES, (2, OBJECTS), generator=generator, dtype=torch.int32)


def golden(sections, anchors, seed):
    model = Yolo(sections, anchors, CLASSES)
    generator = fill(model, seed)
    with torch.no_grad():
        # What a trained head says of most boxes: nothing here, about the anchor's size.
        for index, _ in model.grids:
            head = model.module_list[index - 1][0]
            head.weight.mul_(0.3)
            head.bias.view(3, -1)[:, 2:4].mul_(0.3)
            head.bias.view(3, -1)[:, 4].sub_(1.0)
    images = torch.randint(0, 256, (2, 3, SIZE, SIZE), generator=generator, dtype=torch.uint8)
    boxes, classes = objects(generator)
    truth = [
        [(*b, int(c)) for b, c in zip(image.double().tolist(), own) if b[2] > 0] for image, own in zip(boxes, classes)
    ]

    def step_of(model, x):
        def run():
            output = model(x)
            parts = loss(model, SIZE, output, truth, IGNORE)
            return {"raw": output[0], "loss": sum(parts.values()), **parts}

        return training_step(model, run, torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4))

    single = copy.deepcopy(model).float()
    x = images.double() / 255
    with torch.no_grad():
        shown = model.eval()(x)[1]
    results = step_of(model, x)
    rough = step_of(single, x.float())
    # As assert_close of the tests measures it: against the greatest element of each tensor.
    off = max(float((rough[k] - v).abs().max() / v.abs().max().clamp(min=1e-3)) for k, v in results.items())
    return off, {"images": images, "boxes": boxes, "classes": classes, "eval.detections": shown} | results


out = out_dir(__doc__)
for name, make, anchors in [
    ("yolov3", lambda: backbone_and_heads(1, CLASSES), ANCHORS),
    ("yolov3_tiny", lambda: tiny_sections(1, CLASSES), ANCHORS[:2] + ANCHORS[3:4] + ANCHORS[5:8]),
]:
    tries = [(golden(make(), anchors, seed), seed) for seed in range(1, 9)]
    (off, tensors), seed = min(tries, key=lambda t: t[0][0])
    print(f"{name}: seed {seed}, PyTorch's f32 is off by {off:.1e}; others {[f'{t[0][0]:.0e}' for t in tries]}")
    save(tensors, out, f"{name}.safetensors")
