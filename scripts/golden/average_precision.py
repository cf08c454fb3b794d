"""Random objects and detections, with the numbers of pycocotools and of the Pascal VOC development kit.

    python scripts/golden/average_precision.py crates/train/tests/data

Writes average_precision.json. Coordinates are multiples of 1/4, so both sides begin with the same numbers.
"""

import contextlib
import io
import json
import os

import numpy as np
from common import out_dir
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

CLASSES, PICTURES = 3, 24
rng = np.random.default_rng(7)


def box(side):
    w, h = np.round(rng.uniform(0.5, 1.5, 2) * side * 4) / 4 + 1
    x, y = np.round(rng.uniform(0, 320 - np.array([w, h]).clip(max=300)) * 4) / 4
    return [float(v) for v in (x, y, w, h)]


def moved(b, by):
    """About the same box, as a detector would find it."""
    x, y, w, h = b
    dx, dy, dw, dh = rng.normal(0, by, 4)
    return [float(np.round(v * 4) / 4) for v in (x + dx * w, y + dy * h, max(1, w * (1 + dw)), max(1, h * (1 + dh)))]


pictures = []
for number in range(PICTURES):
    objects, found = [], []
    for _ in range(int(rng.integers(0, 9))):
        b = box(rng.choice([12, 40, 130]))
        # The mask fills some of the box; some objects are crowds. The last class is rare.
        c = int(rng.choice(CLASSES, p=[0.6, 0.37, 0.03]))
        o = {"box": b, "class": c, "ignored": bool(rng.random() < 0.12)}
        if rng.random() < 0.5:
            o["area"] = float(np.round(b[2] * b[3] * rng.uniform(0.5, 1)))
        objects.append(o)
        for _ in range(int(rng.choice([0, 1, 1, 1, 2, 3]))):
            cls = c if rng.random() < 0.9 else int(rng.integers(CLASSES))
            found.append({"box": moved(b, rng.choice([0.01, 0.05, 0.15])), "class": cls})
    for _ in range(int(rng.integers(0, 6)) + (130 if number == 3 else 0)):
        found.append({"box": box(rng.choice([12, 40, 130])), "class": int(rng.integers(2))})
    for d in found:
        d["score"] = float(rng.integers(1, 60)) / 64  # so coarse that many are equal
    order = rng.permutation(len(found))
    pictures.append({"objects": objects, "found": [found[i] for i in order]})


def coco(pictures, classes=CLASSES):
    images = [{"id": i + 1, "width": 320, "height": 320} for i in range(len(pictures))]
    annotations = [
        {
            "image_id": i + 1,
            "category_id": o["class"] + 1,
            "bbox": o["box"],
            "area": o.get("area", o["box"][2] * o["box"][3]),
            "iscrowd": int(o["ignored"]),
        }
        for i, p in enumerate(pictures)
        for o in p["objects"]
    ]
    for number, a in enumerate(annotations):
        a["id"] = number + 1
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        categories = [{"id": c + 1, "name": str(c)} for c in range(classes)]
        truth.dataset = {"images": images, "annotations": annotations, "categories": categories}
        truth.createIndex()
        results = truth.loadRes([
            {"image_id": i + 1, "category_id": d["class"] + 1, "bbox": d["box"], "score": d["score"]}
            for i, p in enumerate(pictures)
            for d in p["found"]
        ])
        evaluation = COCOeval(truth, results, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"]  # threshold, recall, class, area, limit
    by_class = [float(p.mean()) if (p > -1).any() else -1.0 for p in (precision[:, :, c, 0, 2] for c in range(classes))]
    return {"stats": [float(v) for v in evaluation.stats], "classes": by_class}


def iou(a, b):
    w = max(0.0, min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]))
    h = max(0.0, min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]))
    return w * h / (a[2] * a[3] + b[2] * b[3] - w * h)


def voc(pictures, cls, threshold, eleven):
    """VOCevaldet.m and its Python descendants: rank over all pictures, best overlap, difficult objects left out."""
    truth = [[dict(o, hit=False) for o in p["objects"] if o["class"] == cls] for p in pictures]
    count = sum(not o["ignored"] for objects in truth for o in objects)
    if count == 0:
        return -1.0
    ranked = [(d["score"], i, d["box"]) for i, p in enumerate(pictures) for d in p["found"] if d["class"] == cls]
    ranked = [ranked[i] for i in np.argsort([-r[0] for r in ranked], kind="stable")]
    tp, fp = np.zeros(len(ranked)), np.zeros(len(ranked))
    for rank, (_, picture, b) in enumerate(ranked):
        overlaps = [iou(b, o["box"]) for o in truth[picture]]
        best = int(np.argmax(overlaps)) if overlaps else -1
        if best >= 0 and overlaps[best] >= threshold:
            o = truth[picture][best]
            if o["ignored"]:
                continue
            (fp if o["hit"] else tp)[rank] = 1
            o["hit"] = True
        else:
            fp[rank] = 1
    tp, fp = np.cumsum(tp), np.cumsum(fp)
    recall, precision = tp / count, tp / np.maximum(tp + fp, np.finfo(np.float64).eps)
    if eleven:
        return float(sum(max(precision[recall >= t], default=0.0) for t in np.arange(0.0, 1.1, 0.1)) / 11)
    recall = np.concatenate([[0.0], recall, [1.0]])
    precision = np.concatenate([[0.0], precision, [0.0]])
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.where(recall[1:] != recall[:-1])[0]
    return float(np.sum((recall[steps + 1] - recall[steps]) * precision[steps + 1]))


def compact(pictures):
    row = lambda o: o["box"] + [o["class"]]
    return [
        {
            "objects": [row(o) + [int(o["ignored"]), o.get("area", -1)] for o in p["objects"]],
            "found": [row(d) + [d["score"]] for d in p["found"]],
        }
        for p in pictures
    ]


cases = []
empty = [{"objects": [], "found": [{"box": [0, 0, 9, 9], "class": 0, "score": 0.5}]}]
for name, some in [("all", pictures), ("few", pictures[:5]), ("nothing to find", empty)]:
    numbers = {
        f"voc{kind}{int(t * 100)}": [voc(some, c, t, kind == "11") for c in range(CLASSES)]
        for kind in ["11", "all"]
        for t in [0.5, 0.75]
    }
    cases.append({"name": name, "pictures": compact(some), "coco": coco(some), **numbers})
    print(name, cases[-1]["coco"]["stats"], {k: v for k, v in numbers.items()})
path = os.path.join(out_dir(__doc__), "average_precision.json")
with open(path, "w") as f:
    json.dump({"classes": CLASSES, "cases": cases}, f, separators=(",", ":"))
    f.write("\n")
print(path, os.path.getsize(path), "bytes")
