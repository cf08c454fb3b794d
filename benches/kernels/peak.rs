//! What the adapter can do at most: a plain loop of multiply-adds, and a plain copy, as operations of our own.

use std::sync::Arc;
use wgrad::device::{Adapter, Cost, CpuIo, Kernel, Operand, Pass, PassBinding, fold_groups};
use wgrad::graph::op::{Array, Lower, Op};
use wgrad::prelude::*;

/// Chains of an element that do not wait for each other, in lanes of sixteen.
const CHAINS: usize = 12;
const LANES: usize = 16;

/// Elements that a copying invocation moves at once, on the CPU.
const BLOCK: usize = 1024;

/// `Fma`: every element of the result is the sum of long chains `a = a * m + c`. `Copy`: the result is the argument.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Peak {
    /// Each of `count` elements takes this many rounds.
    Fma { count: usize, rounds: usize },
    /// So many elements.
    Copy { count: usize },
}

impl Peak {
    /// The operation on `x` [count].
    pub fn of(self, x: &Tensor) -> Tensor {
        Tensor::apply(self, &[x])
    }

    /// Elements of argument and result.
    pub fn count(self) -> usize {
        match self {
            Peak::Fma { count, .. } | Peak::Copy { count } => count,
        }
    }
}

impl Op for Peak {
    fn name(&self) -> &'static str {
        if matches!(self, Peak::Fma { .. }) { "peak_fma" } else { "peak_copy" }
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        Ok((inputs[0].shape().to_vec(), DType::F32))
    }

    fn gradient(&self, _: &Tensor, _: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        Err("it is only timed".into())
    }

    fn reference(&self, inputs: &[&Array], shape: &[usize]) -> Array {
        let Peak::Fma { rounds, .. } = *self else { return Array::new(shape, inputs[0].data.clone()) };
        let chain = |x: f64| (0..CHAINS * LANES).map(|i| (0..rounds).fold(x + i as f64, |a, _| a * x + 0.5)).sum();
        Array::new(shape, inputs[0].data.iter().map(|&x| chain(x)).collect())
    }

    fn lower(&self) -> Lower<'_> {
        Lower::Kernel(Arc::new(*self))
    }
}

impl Kernel for Peak {
    fn name(&self) -> String {
        format!("{} {}", Op::name(self), self.count())
    }

    fn run_cpu(&self, io: &CpuIo) {
        match *self {
            Peak::Fma { rounds, .. } => {
                let x: &[f32] = io.elements(0);
                io.fill(0, |p| widest(x[p], rounds));
            }
            Peak::Copy { .. } => {
                let x: &[[f32; BLOCK]] = io.elements(0);
                io.fill(0, |p| x[p]);
            }
        }
    }

    fn passes(&self, _: &Adapter, _: &[Option<usize>]) -> Vec<Pass> {
        let bind = |operand, write| PassBinding { operand, write };
        let (text, rounds) = match *self {
            Peak::Fma { rounds, .. } => (FMA, rounds),
            Peak::Copy { .. } => (COPY, 0),
        };
        // An invocation works on four elements.
        let invocations = self.count() / 4;
        vec![Pass {
            label: Op::name(self).into(),
            wgsl: [HEAD, text].concat(),
            bindings: vec![bind(Operand::Input(0), false), bind(Operand::Output(0), true)],
            params: vec![invocations as u32, rounds as u32],
            groups: fold_groups(invocations.div_ceil(64)),
        }]
    }

    fn cost(&self) -> Cost {
        let bytes = 8.0 * self.count() as f64;
        match *self {
            Peak::Fma { count, rounds } => Cost { flops: 2.0 * (count * rounds * CHAINS * LANES) as f64, bytes },
            Peak::Copy { .. } => Cost { flops: 0.0, bytes },
        }
    }
}

/// The chains of one element, summed, with plain numbers: where there are no intrinsics below.
fn chains(x: f32, rounds: usize) -> f32 {
    let mut sums: [[f32; LANES]; CHAINS] = std::array::from_fn(|c| [x + c as f32; LANES]);
    for _ in 0..rounds {
        for lane in &mut sums {
            for v in lane {
                *v = v.mul_add(x, 0.5);
            }
        }
    }
    sums.iter().flatten().sum()
}

/// [`chains`] by intrinsics, in vectors of `$lanes`: the compiler makes gathers and scatters of the plain loops.
#[cfg(target_arch = "x86_64")]
macro_rules! chains_of_vectors {
    ($name:ident, $features:literal, $lanes:literal, $all:ident, $fma:ident, $add:ident, $first:ident) => {
        #[target_feature(enable = $features)]
        fn $name(x: f32, rounds: usize) -> f32 {
            use std::arch::x86_64::*;
            let (factor, half) = ($all(x), $all(0.5));
            let mut sums: [_; CHAINS] = std::array::from_fn(|c| $all(x + c as f32));
            for _ in 0..rounds * (LANES / $lanes) {
                for s in &mut sums {
                    *s = $fma(*s, factor, half);
                }
            }
            let mut sum = sums[0];
            for s in &sums[1..] {
                sum = $add(sum, *s);
            }
            $first(sum)
        }
    };
}
#[cfg(target_arch = "x86_64")]
chains_of_vectors!(chains_512, "avx512f", 16, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_add_ps, _mm512_cvtss_f32);
#[cfg(target_arch = "x86_64")]
chains_of_vectors!(chains_256, "avx2,fma", 8, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_add_ps, _mm256_cvtss_f32);

/// The chains with the widest vectors that this processor has.
fn widest(x: f32, rounds: usize) -> f32 {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has it.
            return unsafe { chains_512(x, rounds) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has both.
            return unsafe { chains_256(x, rounds) };
        }
    }
    chains(x, rounds)
}

const HEAD: &str = "
@group(0) @binding(0) var<uniform> params: array<vec4<u32>, 1>; // invocations, rounds
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if (i < params[0].x) {
        y[i] = value(x[i]);
    }
}
";

const COPY: &str = "
fn value(x: vec4<f32>) -> vec4<f32> {
    return x;
}
";

/// Four elements a vector, twelve vectors, sixteen times over: as many operations an element as on the CPU.
const FMA: &str = "
fn value(x: vec4<f32>) -> vec4<f32> {
    let c = vec4<f32>(0.5);
    var s0 = x; var s1 = x + 1.0; var s2 = x + 2.0; var s3 = x + 3.0; var s4 = x + 4.0; var s5 = x + 5.0;
    var s6 = x + 6.0; var s7 = x + 7.0; var s8 = x + 8.0; var s9 = x + 9.0; var s10 = x + 10.0; var s11 = x + 11.0;
    for (var r = 0u; r < params[0].y * 4u; r++) {
        for (var u = 0u; u < 4u; u++) {
            s0 = fma(s0, x, c); s1 = fma(s1, x, c); s2 = fma(s2, x, c); s3 = fma(s3, x, c);
            s4 = fma(s4, x, c); s5 = fma(s5, x, c); s6 = fma(s6, x, c); s7 = fma(s7, x, c);
            s8 = fma(s8, x, c); s9 = fma(s9, x, c); s10 = fma(s10, x, c); s11 = fma(s11, x, c);
        }
    }
    return s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + s10 + s11;
}
";
