//! The cases.

use super::case::{Case, Part, Work};

/// All of them, in the order of the table. `half`: those in f16 as well. `large`: those for a real GPU as well.
pub fn cases(half: bool, large: bool) -> Vec<Case> {
    let mut all = products(large);
    all.extend(convolutions());
    all.extend(attentions());
    all.extend(memory_bound());
    if half {
        let square =
            |c: &&Case| matches!(c.name.as_str(), "matmul_512" | "matmul_1024" | "matmul_4096" | "conv3x3_64_56");
        let halves: Vec<Case> = all.iter().filter(square).cloned().collect();
        all.extend(halves.into_iter().map(|c| Case { name: format!("{}_f16", c.name), half: true, ..c }));
    }
    all
}

fn case(name: impl Into<String>, work: Work, part: Part) -> Case {
    Case { name: name.into(), work, part, half: false }
}

/// Squares in all transpositions, and the shapes that models have.
fn products(large: bool) -> Vec<Case> {
    let mut all = vec![];
    let mut add = |name: String, batch, [m, n, k]: [usize; 3], transposed| {
        all.push(case(name, Work::Matmul { batch, m, n, k, transposed }, Part::Forward));
    };
    let sizes = [256, 512, 1024, 4096];
    for size in if large { &sizes[..] } else { &sizes[..3] } {
        for (suffix, transposed) in
            [("", [false; 2]), ("_nt", [false, true]), ("_tn", [true, false]), ("_tt", [true; 2])]
        {
            add(format!("matmul_{size}{suffix}"), 1, [*size; 3], transposed);
        }
    }
    for ([m, n, k], transposed) in [
        ([333, 777, 129], [false; 2]),
        ([65, 63, 1027], [false; 2]),
        ([1, 4096, 4096], [false, true]),   // one example
        ([64, 10, 50176], [true, false]),   // a weight's gradient: few elements, long sums
        ([2048, 65, 384], [false, true]),   // a head of few tokens
        ([2048, 1536, 384], [false; 2]),    // a transformer's first layer of two
        ([384, 1536, 2048], [true, false]), // its weight's gradient
        ([128, 50257, 768], [false, true]), // GPT-2's head
    ] {
        add(format!("matmul_{m}x{n}x{k}"), 1, [m, n, k], transposed);
    }
    add("matmul_48x256x256x64".into(), 48, [256, 256, 64], [false, true]);
    add("matmul_48x256x64x256".into(), 48, [256, 64, 256], [false; 2]);
    all
}

/// Of a network: its name, images in a batch, and its distinct layers as (channels, size, kernels, kernel size, stride, padding).
type Layers = (&'static str, usize, &'static [(usize, usize, usize, usize, usize, usize)]);

const CONVS: [Layers; 4] = [
    (
        "resnet50",
        8,
        &[
            (3, 224, 64, 7, 2, 3),
            (64, 56, 64, 1, 1, 0),
            (64, 56, 64, 3, 1, 1),
            (64, 56, 256, 1, 1, 0),
            (256, 56, 64, 1, 1, 0),
            (256, 56, 128, 1, 1, 0),
            (128, 56, 128, 3, 2, 1),
            (128, 28, 512, 1, 1, 0),
            (256, 56, 512, 1, 2, 0),
            (512, 28, 128, 1, 1, 0),
            (128, 28, 128, 3, 1, 1),
            (512, 28, 256, 1, 1, 0),
            (256, 28, 256, 3, 2, 1),
            (256, 14, 1024, 1, 1, 0),
            (512, 28, 1024, 1, 2, 0),
            (1024, 14, 256, 1, 1, 0),
            (256, 14, 256, 3, 1, 1),
            (1024, 14, 512, 1, 1, 0),
            (512, 14, 512, 3, 2, 1),
            (512, 7, 2048, 1, 1, 0),
            (1024, 14, 2048, 1, 2, 0),
            (2048, 7, 512, 1, 1, 0),
            (512, 7, 512, 3, 1, 1),
        ],
    ),
    (
        "unet",
        8,
        &[
            (3, 64, 64, 3, 1, 1),
            (64, 64, 64, 3, 1, 1),
            (64, 32, 128, 3, 1, 1),
            (128, 32, 128, 3, 1, 1),
            (128, 16, 256, 3, 1, 1),
            (256, 16, 256, 3, 1, 1),
            (256, 8, 512, 3, 1, 1),
            (512, 8, 512, 3, 1, 1),
            (512, 4, 1024, 3, 1, 1),
            (1024, 4, 1024, 3, 1, 1),
            (1024, 8, 512, 3, 1, 1),
            (512, 16, 256, 3, 1, 1),
            (256, 32, 128, 3, 1, 1),
            (128, 64, 64, 3, 1, 1),
            (64, 64, 2, 1, 1, 0),
        ],
    ),
    (
        "mobilenet",
        8,
        &[
            (3, 224, 32, 3, 2, 1),
            (32, 112, 64, 1, 1, 0),
            (64, 56, 128, 1, 1, 0),
            (128, 56, 128, 1, 1, 0),
            (128, 28, 256, 1, 1, 0),
            (256, 28, 256, 1, 1, 0),
            (256, 14, 512, 1, 1, 0),
            (512, 14, 512, 1, 1, 0),
            (512, 7, 1024, 1, 1, 0),
            (1024, 7, 1024, 1, 1, 0),
        ],
    ),
    (
        "dcgan",
        32,
        &[
            (3, 64, 64, 4, 2, 1),
            (64, 32, 128, 4, 2, 1),
            (128, 16, 256, 4, 2, 1),
            (256, 8, 512, 4, 2, 1),
            (512, 4, 1, 4, 1, 0),
        ],
    ),
];

/// The transposed ones.
const UPS: [Layers; 2] = [
    ("unet", 8, &[(1024, 4, 512, 2, 2, 0), (512, 8, 256, 2, 2, 0), (256, 16, 128, 2, 2, 0), (128, 32, 64, 2, 2, 0)]),
    (
        "dcgan",
        32,
        &[
            (100, 1, 512, 4, 1, 0),
            (512, 4, 256, 4, 2, 1),
            (256, 8, 128, 4, 2, 1),
            (128, 16, 64, 4, 2, 1),
            (64, 32, 3, 4, 2, 1),
        ],
    ),
];

/// MobileNet's depthwise ones: channels, size, stride.
const DEPTHWISE: [(usize, usize, usize); 9] = [
    (32, 112, 1),
    (64, 112, 2),
    (128, 56, 1),
    (128, 56, 2),
    (256, 28, 1),
    (256, 28, 2),
    (512, 14, 1),
    (512, 14, 2),
    (1024, 7, 1),
];

fn convolutions() -> Vec<Case> {
    let plain = Work::Conv { n: 8, c: 64, size: 56, o: 64, k: 3, stride: 1, pad: 1, groups: 1, up: false };
    let mut all =
        vec![case("conv3x3_64_56", plain.clone(), Part::Forward), case("conv3x3_64_56_grads", plain, Part::Both)];
    let mut add = |name: String, work: Work| {
        for (suffix, part) in [("", Part::Forward), ("_by_input", Part::Input), ("_by_weight", Part::Weight)] {
            all.push(case(format!("{name}{suffix}"), work.clone(), part));
        }
    };
    for (up, networks) in [(false, &CONVS[..]), (true, &UPS[..])] {
        for &(network, n, layers) in networks {
            for &(c, size, o, k, stride, pad) in layers {
                let kind = if up { "up" } else { "conv" };
                let name = format!("{network}_{kind}{k}x{k}_{c}_{o}_{size}s{stride}");
                add(name, Work::Conv { n, c, size, o, k, stride, pad, groups: 1, up });
            }
        }
    }
    for (c, size, stride) in DEPTHWISE {
        let work = Work::Conv { n: 8, c, size, o: c, k: 3, stride, pad: 1, groups: c, up: false };
        add(format!("mobilenet_depthwise_{c}_{size}s{stride}"), work);
    }
    all
}

fn attentions() -> Vec<Case> {
    let mut all = vec![];
    for [n, heads, length, width] in [[8, 6, 256, 64], [1, 12, 1024, 64], [4, 8, 197, 80]] {
        for (suffix, part) in [("", Part::Forward), ("_grads", Part::Both)] {
            let name = format!("attention_{n}x{heads}x{length}x{width}{suffix}");
            all.push(case(name, Work::Attention { n, heads, length, width }, part));
        }
    }
    all
}

fn memory_bound() -> Vec<Case> {
    let (rows, images) = (vec![8192, 1024], vec![32, 64, 56, 56]);
    let mut all = vec![];
    let mut add = |what, shape: &Vec<usize>, parts: &[Part]| {
        for &part in parts {
            let suffix = if part == Part::Both { "_grads" } else { "" };
            all.push(case(format!("{what}{suffix}"), Work::Simple { what, shape: shape.clone() }, part));
        }
    };
    let (forward, both) = ([Part::Forward], [Part::Forward, Part::Both]);
    for what in ["add", "relu", "transpose", "sum_rows", "sum_columns", "sum_all"] {
        add(what, &rows, &forward);
    }
    for what in ["gelu", "softmax", "layer_norm", "cross_entropy"] {
        add(what, &rows, &both);
    }
    for what in ["batch_norm", "max_pool_2", "max_pool_3"] {
        add(what, &images, &both);
    }
    for what in ["adam", "sgd"] {
        all.push(case(format!("{what}_10m"), Work::Update { what, tensors: 1, each: 10_000_000 }, Part::Forward));
    }
    all
}
