//! Memory as the interpreter reads and writes it: runs of elements, as 32-bit words.

use super::CpuIo;
use crate::DType;
use half::f16;

/// Something that a load reads: an input of the kernel, or a table made for this launch.
#[derive(Clone, Copy)]
pub(super) struct Source {
    from: *const u8,
    /// Elements.
    len: usize,
    /// Elements are f16; otherwise 32-bit words.
    half: bool,
}

// SAFETY: sources are only read, and outlive the launch.
unsafe impl Sync for Source {}
unsafe impl Send for Source {}

impl Source {
    pub fn input(io: &CpuIo, i: usize, dtype: DType) -> Source {
        let half = dtype == DType::F16;
        let (from, len) = if half { cast(io.input::<f16>(i)) } else { cast(io.input::<u32>(i)) };
        Source { from, len, half }
    }

    /// An output, for what was stored there before.
    pub fn output(io: &CpuIo, o: usize, dtype: DType) -> Source {
        let half = dtype == DType::F16;
        let (from, len) = if half { cast(output(io.output::<f16>(o))) } else { cast(output(io.output::<u32>(o))) };
        Source { from, len, half }
    }

    /// The table must outlive the source.
    pub fn table(words: &[u32]) -> Source {
        Source::words(words.as_ptr(), words.len())
    }

    /// `len` words, which must outlive the source.
    pub fn words(from: *const u32, len: usize) -> Source {
        Source { from: from.cast(), len, half: false }
    }

    /// The words from element `p` on, if `n` of them are there to be read where they lie.
    #[inline(always)]
    pub fn direct(&self, p: i64, n: usize) -> Option<*const u32> {
        // SAFETY: inside the source, as the condition says.
        (!self.half && p >= 0 && p as usize + n <= self.len).then(|| unsafe { self.from.cast::<u32>().add(p as usize) })
    }

    /// Reads elements `p`, `p + step`, ... into `to[0]`, `to[every]`, ...
    ///
    /// # Safety
    /// All of them must lie inside the source.
    #[inline(always)]
    pub unsafe fn load(&self, p: i64, step: i64, to: &mut [u32], every: usize) {
        let n = to.len().div_ceil(every) as i64;
        debug_assert!(n == 0 || [p, p + step * (n - 1)].iter().all(|&p| p >= 0 && (p as usize) < self.len));
        // SAFETY: as promised by the caller.
        unsafe {
            if self.half {
                let from = self.from.cast::<f16>().offset(p as isize);
                for (i, x) in to.iter_mut().step_by(every).enumerate() {
                    *x = (*from.offset(step as isize * i as isize)).to_f32().to_bits();
                }
                return;
            }
            let from = self.from.cast::<u32>().offset(p as isize);
            match (step, every) {
                (1, 1) => copy(from, to),
                (0, 1) if n > 0 => fill(to, *from),
                _ => {
                    for (i, x) in to.iter_mut().step_by(every).enumerate() {
                        *x = *from.offset(step as isize * i as isize);
                    }
                }
            }
        }
    }

    /// Reads elements `base + offsets[i]`.
    ///
    /// # Safety
    /// All of them must lie inside the source.
    #[inline(always)]
    pub unsafe fn pick(&self, base: i64, offsets: &[i32], to: &mut [u32]) {
        debug_assert!(offsets.iter().all(|&o| base + o as i64 >= 0 && ((base + o as i64) as usize) < self.len));
        // SAFETY: as promised by the caller.
        unsafe {
            if self.half {
                return to.iter_mut().zip(offsets).for_each(|(x, &o)| *x = self.one((base + o as i64) as usize));
            }
            let from = self.from.cast::<u32>().offset(base as isize);
            to.iter_mut().zip(offsets).for_each(|(x, &o)| *x = *from.offset(o as isize));
        }
    }

    /// Reads the element at each position, 0 where that is `len` or more. `len` may not exceed the source's.
    pub fn gather(&self, positions: &[u32], len: usize, to: &mut [u32]) {
        assert!(len <= self.len);
        for (x, &p) in to.iter_mut().zip(positions) {
            // SAFETY: inside the source, as just checked.
            *x = if (p as usize) < len { unsafe { self.one(p as usize) } } else { 0 };
        }
    }

    /// # Safety
    /// Element `p` must lie inside the source.
    #[inline(always)]
    pub unsafe fn one(&self, p: usize) -> u32 {
        // SAFETY: as promised by the caller.
        unsafe {
            if self.half {
                return (*self.from.cast::<f16>().add(p)).to_f32().to_bits();
            }
            *self.from.cast::<u32>().add(p)
        }
    }
}

fn output<T>((from, len): (*mut T, usize)) -> (*const T, usize) {
    (from, len)
}

fn cast<T>((from, len): (*const T, usize)) -> (*const u8, usize) {
    (from.cast(), len)
}

/// Fills a run that is often short: a call of `memset` would take longer.
#[inline(always)]
pub(super) fn fill(to: &mut [u32], word: u32) {
    let (vectors, rest) = to.as_chunks_mut::<8>();
    vectors.iter_mut().for_each(|v| *v = [word; 8]);
    rest.iter_mut().for_each(|x| *x = word);
}

/// Copies a run that is often short: a call of `memcpy` would take longer.
///
/// # Safety
/// `to.len()` elements must be readable, and not overlap `to`.
#[inline(always)]
pub(super) unsafe fn copy<T: Copy>(from: *const T, to: &mut [T]) {
    // SAFETY: as promised by the caller.
    unsafe {
        if to.len() > 128 {
            return std::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len());
        }
        let (vectors, rest) = to.as_chunks_mut::<8>();
        let done = vectors.len() * 8;
        for (i, v) in vectors.iter_mut().enumerate() {
            *v = from.add(i * 8).cast::<[T; 8]>().read_unaligned();
        }
        for (i, x) in rest.iter_mut().enumerate() {
            *x = *from.add(done + i);
        }
    }
}

/// Stores words as elements `at..` of output `o`.
///
/// # Safety
/// No other thread may touch that range.
#[inline(always)]
pub(super) unsafe fn store(io: &CpuIo, o: usize, at: usize, words: &[u32], dtype: DType) {
    if dtype == DType::F16 {
        let (to, n) = io.output::<f16>(o);
        assert!(at + words.len() <= n);
        for (i, &w) in words.iter().enumerate() {
            // SAFETY: just checked.
            unsafe { *to.add(at + i) = f16::from_f32(f32::from_bits(w)) }
        }
        return;
    }
    let (to, n) = io.output::<u32>(o);
    assert!(at + words.len() <= n);
    // SAFETY: just checked.
    unsafe { std::ptr::copy_nonoverlapping(words.as_ptr(), to.add(at), words.len()) }
}
