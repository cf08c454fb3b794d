"""YOLOv3's small form as a PyTorch module with PyTorch-YOLOv3's names, its decoding, assignment and loss."""

import torch
import torch.nn as nn
import torch.nn.functional as F


def conv(index, inputs, filters, kernel, normed=True):
    """One convolutional section of a cfg file."""
    section = nn.Sequential()
    section.add_module(f"conv_{index}", nn.Conv2d(inputs, filters, kernel, padding=kernel // 2, bias=not normed))
    if normed:
        section.add_module(f"batch_norm_{index}", nn.BatchNorm2d(filters))
        section.add_module(f"leaky_{index}", nn.LeakyReLU(0.1))
    return section


class MaxPool(nn.Module):
    """Over 2x2. With stride 1 what lies outside, below and on the right, never wins."""

    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, x):
        return F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=float("-inf")) if self.stride == 1 else x, 2, self.stride)


class Shortcut(nn.Module):
    pass


def backbone_and_heads(width, classes, blocks=(1, 1, 1, 1, 1)):
    """The sections of yolov3.cfg with so many residual blocks in each stage, and what each has as its input: the section
    before, or a list of sections to be joined; or two to be added."""
    sections, channels, inputs, ends = [], [], [], []

    def add(section, out, source=None):
        inputs.append(source if source is not None else [len(sections) - 1])
        sections.append(section)
        channels.append(out)

    def add_conv(filters, kernel, stride=1, normed=True):
        section = conv(len(sections), channels[-1] if channels else 3, filters, kernel, normed)
        section[0].stride = (stride, stride)
        add(section, filters)

    add_conv(width, 3)
    for stage, count in enumerate(blocks):
        out = width << (stage + 1)
        add_conv(out, 3, 2)
        for _ in range(count):
            add_conv(out // 2, 1)
            add_conv(out, 3)
            add(Shortcut(), out, ("add", len(sections) - 1, len(sections) - 3))
        ends.append(len(sections) - 1)
    grids = []
    for times, beside, mask in [(32, None, (6, 7, 8)), (16, ends[3], (3, 4, 5)), (8, ends[2], (0, 1, 2))]:
        out = times * width
        if beside is not None:
            add(nn.Identity(), channels[-4], [len(sections) - 4])
            add_conv(out // 2, 1)
            add(nn.Upsample(scale_factor=2, mode="nearest"), out // 2)
            add(nn.Identity(), out // 2 + channels[beside], [len(sections) - 1, beside])
        for _ in range(3):
            add_conv(out // 2, 1)
            add_conv(out, 3)
        add_conv(3 * (5 + classes), 1, normed=False)
        add(nn.Identity(), channels[-1])
        grids.append((len(sections) - 1, mask))
    return sections, inputs, grids


def tiny_sections(width, classes):
    """The sections of yolov3-tiny.cfg."""
    sections, inputs, before = [], [], 3
    for stage in range(6):
        sections += [conv(2 * stage, before, width << stage, 3), MaxPool(1 if stage == 5 else 2)]
        before = width << stage
    out = 3 * (5 + classes)
    sections += [conv(12, before, 64 * width, 3), conv(13, 64 * width, 16 * width, 1), conv(14, 16 * width, 32 * width, 3)]
    sections += [conv(15, 32 * width, out, 1, False), nn.Identity(), nn.Identity(), conv(18, 16 * width, 8 * width, 1)]
    sections += [nn.Upsample(scale_factor=2, mode="nearest"), nn.Identity()]
    sections += [conv(21, 24 * width, 16 * width, 3), conv(22, 16 * width, out, 1, False), nn.Identity()]
    inputs = [[i - 1] for i in range(len(sections))]
    inputs[17], inputs[20] = [13], [19, 8]
    return sections, inputs, [(16, (3, 4, 5)), (23, (0, 1, 2))]


class Yolo(nn.Module):
    def __init__(self, sections, anchors, classes):
        super().__init__()
        modules, self.inputs, self.grids = sections
        self.module_list = nn.ModuleList(modules)
        self.anchors, self.classes = anchors, classes

    def forward(self, images):
        """[N, B, 5 + classes] as they leave the network, the same with boxes in pixels and probabilities, and each grid's
        first box, rows, columns, anchors."""
        values, raw, decoded, grids, start = [], [], [], [], 0
        for module, source in zip(self.module_list, self.inputs):
            if source[0] == "add":
                values.append(values[source[1]] + values[source[2]])
                continue
            x = [values[i] for i in source] if values else [images]
            values.append(module(torch.cat(x, 1)))
        for section, mask in self.grids:
            n, _, rows, columns = values[section].shape
            v = values[section].view(n, 3, 5 + self.classes, rows, columns).permute(0, 1, 3, 4, 2)
            i, j = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
            anchors = torch.tensor([self.anchors[a] for a in mask], dtype=v.dtype).view(1, 3, 1, 1, 2)
            scale = torch.tensor([images.shape[3] / columns, images.shape[2] / rows], dtype=v.dtype)
            centre = (v[..., :2].sigmoid() + torch.stack([j, i], -1)) * scale
            box = torch.cat([centre, v[..., 2:4].exp() * anchors, v[..., 4:].sigmoid()], -1)
            raw.append(v.reshape(n, -1, 5 + self.classes))
            decoded.append(box.reshape(n, -1, 5 + self.classes))
            grids.append((start, rows, columns, mask))
            start += 3 * rows * columns
        return torch.cat(raw, 1), torch.cat(decoded, 1), grids


def overlap(a, b):
    """IoU of two boxes by centre and size."""
    side = lambda d: max(0.0, min(a[d] + a[d + 2] / 2, b[d] + b[d + 2] / 2) - max(a[d] - a[d + 2] / 2, b[d] - b[d + 2] / 2))
    shared = side(0) * side(1)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def loss(model, size, output, truth, ignore):
    """As darknet's yolo_layer.c, image by image and object by object. `truth`: for each image a list of (x, y, w, h, class)
    as parts of the image. Every delta there is the gradient of what is added up here."""
    raw, decoded, grids = output
    parts = {"boxes": 0.0, "objectness": 0.0, "class": 0.0}
    for n, objects in enumerate(truth):
        pixels = [[x * size, y * size, w * size, h * size] for x, y, w, h, _ in objects]
        owners = {}
        for (x, y, w, h, cls), box in zip(objects, pixels):
            fits = [overlap([0, 0, *box[2:]], [0, 0, *a]) for a in model.anchors]
            best = max(range(len(fits)), key=fits.__getitem__)
            for start, rows, columns, mask in grids:
                if best in mask:
                    i, j = int(y * rows), int(x * columns)
                    aw, ah = model.anchors[best]
                    target = (x * columns - j, y * rows - i, box[2] / aw, box[3] / ah, 2 - w * h, cls)
                    owners[start + (mask.index(best) * rows + i) * columns + j] = target
        for index, (tx, ty, tw, th, weight, cls) in owners.items():
            v = raw[n, index]
            target = torch.tensor([tx, ty], dtype=v.dtype)
            place = F.binary_cross_entropy_with_logits(v[:2], target, reduction="sum")
            shape = 0.5 * ((v[2:4] - torch.tensor([tw, th], dtype=v.dtype).log()) ** 2).sum()
            parts["boxes"] = parts["boxes"] + weight * (place + shape)
            wanted = F.one_hot(torch.tensor(cls), model.classes).to(v.dtype)
            parts["class"] = parts["class"] + F.binary_cross_entropy_with_logits(v[5:], wanted, reduction="sum")
        for index in range(raw.shape[1]):
            near = max((overlap(decoded[n, index, :4].tolist(), b) for b in pixels), default=0.0) > ignore
            if index in owners or not near:
                wanted = torch.tensor(float(index in owners), dtype=raw.dtype)
                parts["objectness"] = parts["objectness"] + F.binary_cross_entropy_with_logits(raw[n, index, 4], wanted)
    return {name: value / len(truth) for name, value in parts.items()}
