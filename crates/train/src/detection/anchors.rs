//! Typical box sizes of a data set, by k-means.

use crate::rng::{Purpose, Stream};

/// Box sizes, least area first, and how well they cover the data.
#[derive(Clone, Debug, PartialEq)]
pub struct Anchors {
    /// Width and height of each.
    pub sizes: Vec<[f32; 2]>,
    /// Mean, over the data's boxes, of the IoU with the best of them, all laid on one corner.
    pub mean_iou: f64,
}

/// IoU of two sizes laid on one corner.
fn iou([w0, h0]: [f64; 2], [w1, h1]: [f64; 2]) -> f64 {
    let shared = w0.min(w1) * h0.min(h1);
    shared / (w0 * h0 + w1 * h1 - shared)
}

/// `count` box sizes (width, height) that fit `sizes` well: k-means with the distance 1 - IoU (YOLO9000, section 2), and
/// the mean of each cluster as its centre. Begins with k-means++ seeds drawn by `seed`, and keeps the best of ten runs.
/// Sizes that are not positive and finite count for nothing; without any, or with fewer different ones than `count`, some
/// of the result is repeated.
pub fn anchors(sizes: &[[f32; 2]], count: usize, seed: u64) -> Anchors {
    let sizes: Vec<[f64; 2]> = sizes
        .iter()
        .filter(|size| size.iter().all(|v| v.is_finite() && *v > 0.0))
        .map(|size| size.map(f64::from))
        .collect();
    if sizes.is_empty() {
        return Anchors { sizes: vec![[1.0, 1.0]; count], mean_iou: 0.0 };
    }
    let runs = (0..10).map(|run| cluster(&sizes, count, &mut Stream::new(seed, Purpose::Split, run, 0)));
    let best = runs.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default();
    let mut centres = best.0;
    centres.sort_by(|a, b| (a[0] * a[1]).total_cmp(&(b[0] * b[1])));
    Anchors { sizes: centres.into_iter().map(|c| c.map(|v| v as f32)).collect(), mean_iou: best.1 }
}

fn cluster(sizes: &[[f64; 2]], count: usize, stream: &mut Stream) -> (Vec<[f64; 2]>, f64) {
    let mut centres: Vec<[f64; 2]> = Vec::with_capacity(count);
    while centres.len() < count {
        // k-means++: far from the centres so far, with a probability that grows with the squared distance.
        let weights: Vec<f64> = sizes.iter().map(|&s| (1.0 - best(s, &centres).1).powi(2)).collect();
        let mut at = weights.iter().sum::<f64>() * f64::from(stream.word()) / 4_294_967_296.0;
        let chosen = weights.iter().position(|weight| {
            at -= weight;
            at < 0.0
        });
        centres.push(sizes[chosen.unwrap_or(0)]);
    }
    let mut owners = vec![usize::MAX; sizes.len()];
    for _ in 0..300 {
        let new: Vec<usize> = sizes.iter().map(|&s| best(s, &centres).0).collect();
        if new == owners {
            break;
        }
        owners = new;
        for (index, centre) in centres.iter_mut().enumerate() {
            let own: Vec<&[f64; 2]> = sizes.iter().zip(&owners).filter(|(_, o)| **o == index).map(|(s, _)| s).collect();
            if !own.is_empty() {
                *centre = [0, 1].map(|d| own.iter().map(|s| s[d]).sum::<f64>() / own.len() as f64);
            }
        }
    }
    let mean = sizes.iter().map(|&s| best(s, &centres).1).sum::<f64>() / sizes.len() as f64;
    (centres, mean)
}

/// Which centre fits best, and its IoU; 0 where there are none.
fn best(size: [f64; 2], centres: &[[f64; 2]]) -> (usize, f64) {
    let fits = centres.iter().map(|&c| iou(size, c)).enumerate();
    fits.fold((0, 0.0), |best, next| if next.1 > best.1 { next } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heaps_are_found() {
        // Three heaps of sizes, each 5 % around its middle.
        let middles = [[10.0, 10.0], [60.0, 20.0], [100.0, 200.0f32]];
        let mut stream = Stream::new(3, Purpose::Split, 99, 0);
        let mut near = |v: f32| v * (0.95 + 0.1 * stream.below(1000) as f32 / 1000.0);
        let sizes: Vec<[f32; 2]> = (0..300).map(|i| middles[i % 3].map(&mut near)).collect();
        let found = anchors(&sizes, 3, 0);
        for (size, middle) in found.sizes.iter().zip(middles) {
            assert!((0..2).all(|d| (size[d] / middle[d] - 1.0).abs() < 0.02), "{size:?} {middle:?}");
        }
        assert!(found.mean_iou > 0.93, "{}", found.mean_iou);
        assert!(anchors(&sizes, 9, 0).mean_iou > found.mean_iou);
        assert!(anchors(&sizes, 1, 0).mean_iou < 0.5);
        assert_eq!(found, anchors(&sizes, 3, 0));
    }

    #[test]
    fn useless_sizes_do_no_harm() {
        assert_eq!(anchors(&[], 2, 0).sizes.len(), 2);
        let found = anchors(&[[f32::NAN, 1.0], [0.0, 3.0], [4.0, 5.0], [f32::INFINITY, 1.0]], 3, 0);
        assert_eq!(found.sizes, [[4.0, 5.0]; 3]);
    }
}
