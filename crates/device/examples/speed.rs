//! Speeds of the main kernels on a device: `cargo run --release -p wgrad-device --example speed -- software`.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;
use wgrad_device::kernels::{Contraction, Map, Reduce, ReduceOp, Reduction};
use wgrad_device::*;

fn affine(strides: &[i64]) -> Affine {
    Affine { strides: strides.to_vec(), offset: 0 }
}

fn plain(strides: &[i64]) -> Access {
    Access { base: affine(strides), coords: vec![] }
}

fn matmul(m: usize, n: usize, k: usize, a: [i64; 2], b: [i64; 2]) -> Contraction {
    Contraction {
        label: "matmul",
        batch: vec![],
        m: vec![m],
        n: vec![n],
        k: vec![k],
        a: plain(&a),
        b: plain(&b),
        c: affine(&[n as i64, 1]),
        operands: [DType::F32; 2],
        output: DType::F32,
        epilogue: None,
    }
}

/// 3 x 3, stride 1, padding 1.
struct Conv {
    images: usize,
    channels: [usize; 2],
    size: usize,
}

impl Conv {
    fn coord(&self, strides: [i64; 6], offset: i64, stride: i64) -> Coord {
        Coord { affine: Affine { strides: strides.to_vec(), offset }, div: 1, len: self.size, stride }
    }

    fn forward(&self) -> Contraction {
        let ([ci, co], s) = (self.channels, self.size);
        let (area, w) = ((s * s) as i64, s as i64);
        Contraction {
            label: "conv forward",
            batch: vec![],
            m: vec![co],
            n: vec![self.images, s, s],
            k: vec![ci, 3, 3],
            a: plain(&[ci as i64 * 9, 9, 3, 1]),
            b: Access {
                base: affine(&[area, 0, 0, ci as i64 * area, 0, 0]),
                coords: vec![self.coord([0, 1, 0, 0, 1, 0], -1, w), self.coord([0, 0, 1, 0, 0, 1], -1, 1)],
            },
            c: affine(&[area, co as i64 * area, w, 1]),
            operands: [DType::F32; 2],
            output: DType::F32,
            epilogue: None,
        }
    }

    fn input_gradient(&self) -> Contraction {
        let ([ci, co], s) = (self.channels, self.size);
        let (area, w) = ((s * s) as i64, s as i64);
        Contraction {
            label: "conv input gradient",
            m: vec![ci],
            k: vec![co, 3, 3],
            a: plain(&[9, ci as i64 * 9, 3, 1]),
            b: Access {
                base: affine(&[area, 0, 0, co as i64 * area, 0, 0]),
                coords: vec![self.coord([0, -1, 0, 0, 1, 0], 1, w), self.coord([0, 0, -1, 0, 0, 1], 1, 1)],
            },
            c: affine(&[area, ci as i64 * area, w, 1]),
            ..self.forward()
        }
    }

    fn weight_gradient(&self) -> Contraction {
        let ([ci, co], s) = (self.channels, self.size);
        let (area, w) = ((s * s) as i64, s as i64);
        Contraction {
            label: "conv weight gradient",
            batch: vec![],
            m: vec![co],
            n: vec![ci, 3, 3],
            k: vec![self.images, s, s],
            a: plain(&[area, co as i64 * area, w, 1]),
            b: Access {
                base: affine(&[ci as i64 * area, 0, 0, area, 0, 0]),
                coords: vec![self.coord([0, 1, 0, 0, 1, 0], -1, w), self.coord([0, 0, 1, 0, 0, 1], -1, 1)],
            },
            c: affine(&[ci as i64 * 9, 9, 3, 1]),
            operands: [DType::F32; 2],
            output: DType::F32,
            epilogue: None,
        }
    }
}

fn map(shape: &[usize], inputs: Vec<Access>, f: impl Fn(&mut Expr, Vec<ExprId>) -> ExprId) -> Map {
    let mut expr = Expr::default();
    let types = vec![DType::F32; inputs.len()];
    let loads = inputs
        .into_iter()
        .enumerate()
        .map(|(input, access)| expr.push(ExprNode::Load { input, access }, DType::F32))
        .collect();
    let out = f(&mut expr, loads);
    Map { domain: shape.to_vec(), expr, inputs: types, outputs: vec![out] }
}

fn reduce(keep: &[usize], inner: &[usize], strides: &[i64]) -> Reduce {
    let mut expr = Expr::default();
    let node = expr.push(ExprNode::Load { input: 0, access: plain(strides) }, DType::F32);
    Reduce {
        keep: keep.to_vec(),
        reduce: inner.to_vec(),
        expr,
        inputs: vec![DType::F32],
        outputs: vec![Reduction { op: ReduceOp::Sum, node }],
    }
}

/// Times one kernel: seconds for each run, after one run to warm up.
fn time(device: &Device, kernel: Arc<dyn Kernel>, inputs: &[usize], output: usize) -> Result<f64, Box<dyn Error>> {
    let slice = |elements: usize| -> Result<Slice, DeviceError> {
        let slice = device.alloc(elements * 4, "a tensor")?.slice();
        let data: Vec<f32> = (0..elements).map(|i| (i % 17) as f32 * 0.1).collect();
        device.write(&slice, bytemuck::cast_slice(&data))?;
        Ok(slice)
    };
    let scratch = match kernel.scratch(device.adapter()) {
        0 => None,
        bytes => Some(device.alloc(bytes, "scratch")?.slice()),
    };
    let launch = Launch {
        label: kernel.name(),
        kernel,
        inputs: inputs.iter().map(|&n| slice(n)).collect::<Result<_, _>>()?,
        outputs: vec![slice(output)?],
        aliases: vec![None],
        scratch,
    };
    let start = Instant::now();
    let sequence = device.prepare(vec![launch])?;
    device.run(&sequence)?;
    device.wait()?;
    print!("first {:6.3} s  ", start.elapsed().as_secs_f64());
    let mut best = f64::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        device.run(&sequence)?;
        device.wait()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

fn main() -> Result<(), Box<dyn Error>> {
    let choice = std::env::args().nth(1).unwrap_or_else(|| "auto".into()).parse()?;
    let device = Device::open(choice)?;
    println!("{}", device.adapter());

    let conv = Conv { images: 8, channels: [64, 64], size: 56 };
    let (image, weights) = (8 * 64 * 56 * 56, 64 * 64 * 9);
    let square = 512 * 512;
    let contractions = [
        ("NN", matmul(512, 512, 512, [512, 1], [512, 1]), [square, square], square),
        ("NT", matmul(512, 512, 512, [512, 1], [1, 512]), [square, square], square),
        ("TN", matmul(512, 512, 512, [1, 512], [512, 1]), [square, square], square),
        ("by a vector", matmul(1, 4096, 4096, [4096, 1], [1, 4096]), [4096, 4096 * 4096], 4096),
        ("by a vector, N", matmul(1, 4096, 4096, [4096, 1], [4096, 1]), [4096, 4096 * 4096], 4096),
        ("of a vector", matmul(4096, 1, 4096, [4096, 1], [1, 1]), [4096 * 4096, 4096], 4096),
        ("classifier", matmul(128, 10, 512, [512, 1], [1, 512]), [128 * 512, 5120], 1280),
        ("", conv.forward(), [weights, image], image),
        ("", conv.input_gradient(), [weights, image], image),
        ("", conv.weight_gradient(), [image, image], weights),
    ];
    for (note, kernel, inputs, output) in contractions {
        let (name, flops) = (kernel.name(), kernel.cost().flops);
        let seconds = time(&device, Arc::new(kernel), &inputs, output)?;
        println!("{name} {note}: {:.2} ms, {:.2} GFLOP/s", seconds * 1e3, flops / seconds / 1e9);
    }

    let shape = [8usize, 64, 56, 56];
    let n: usize = shape.iter().product();
    let add = |e: &mut Expr, x: Vec<ExprId>| e.push(ExprNode::Binary(Binary::Add, x[0], x[1]), DType::F32);
    let linear = Access::linear(&shape);
    let maps: [(&str, Map, Vec<usize>); 4] = [
        ("add", map(&shape, vec![linear.clone(), linear.clone()], add), vec![n, n]),
        ("add bias", map(&shape, vec![linear.clone(), plain(&[0, 1, 0, 0])], add), vec![n, 64]),
        ("transpose", map(&[1024, 1536], vec![plain(&[1, 1024])], |_, x| x[0]), vec![1024 * 1536]),
        ("tanh", map(&shape, vec![linear], |e, x| e.push(ExprNode::Unary(Unary::Tanh, x[0]), DType::F32)), vec![n]),
    ];
    for (note, kernel, inputs) in maps {
        let bytes = 4.0 * (inputs.iter().sum::<usize>() + kernel.len()) as f64;
        let (name, len) = (kernel.name(), kernel.len());
        let seconds = time(&device, Arc::new(kernel), &inputs, len)?;
        println!("{name} {note}: {:.2} ms, {:.2} GB/s", seconds * 1e3, bytes / seconds / 1e9);
    }
    let reduces = [
        ("rows", reduce(&[2048], &[784], &[784, 1]), 2048 * 784),
        ("columns", reduce(&[784], &[2048], &[1, 784]), 2048 * 784),
        ("channels", reduce(&[64], &[8, 3136], &[3136, 64 * 3136, 1]), n),
        ("all", reduce(&[], &[n], &[1]), n),
    ];
    for (note, kernel, input) in reduces {
        let (name, kept) = (kernel.name(), kernel.kept());
        let seconds = time(&device, Arc::new(kernel), &[input], kept)?;
        println!("{name} {note}: {:.2} ms, {:.2} GB/s", seconds * 1e3, 4.0 * input as f64 / seconds / 1e9);
    }

    let small = map(&[64], vec![Access::linear(&[64])], |_, x| x[0]);
    let buffers: Vec<_> = (0..2).map(|_| device.alloc(256, "a tensor")).collect::<Result<_, _>>()?;
    let launch = Launch {
        label: "copy".into(),
        kernel: Arc::new(small),
        inputs: vec![buffers[0].slice()],
        outputs: vec![buffers[1].slice()],
        aliases: vec![None],
        scratch: None,
    };
    let sequence = device.prepare(vec![launch; 500])?;
    device.run(&sequence)?;
    device.wait()?;
    let start = Instant::now();
    device.run(&sequence)?;
    let recorded = start.elapsed();
    device.wait()?;
    let done = start.elapsed();
    println!(
        "a dispatch: {:.2} us to record and submit, {:.2} us in all",
        recorded.as_secs_f64() * 2e3,
        done.as_secs_f64() * 2e3
    );
    Ok(())
}
