//! Pooling of regions of interest: max pooling with rounded bins (Girshick, 2015, Fast R-CNN) and RoIAlign, which samples
//! without rounding (He et al., 2017, Mask R-CNN). Both as torchvision computes them.
//!
//! Regions get no gradient.

use crate::{OpCase, Tensor};
use wgrad_device::DType;

/// How a region of interest becomes a fixed number of bins, by torchvision's names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoiAlign {
    /// Bins along height and width.
    pub output_size: (usize, usize),
    /// Cells of the feature map for each unit of the regions' coordinates: 1/16 for a map of stride 16.
    pub spatial_scale: f32,
    /// Points sampled along each axis of a bin; `None` takes one for each cell or part of one, `ceil(region / bins)`.
    pub sampling_ratio: Option<usize>,
    /// Shifts coordinates by half a cell, so that they mean the edges of pixels and not their centres, and lets regions be
    /// smaller than a cell.
    pub aligned: bool,
}

impl RoiAlign {
    /// With torchvision's defaults: a scale of 1, samples by the region's size, not aligned.
    pub fn new(output_size: (usize, usize)) -> RoiAlign {
        RoiAlign { output_size, spatial_scale: 1.0, sampling_ratio: None, aligned: false }
    }
}

/// One axis of all regions: where they begin and how long they are, in cells, and how they are cut.
struct Axis {
    extent: usize,
    bins: usize,
    start: Tensor,
    length: Tensor,
}

impl Tensor {
    /// Checks map and regions, and gives the regions' coordinates [x1, y1, x2, y2], each `[K]`, and the images that they lie in.
    #[track_caller]
    fn regions(&self, op: &'static str, rois: &Tensor, bins: (usize, usize)) -> ([Tensor; 4], Tensor) {
        let fits = self.rank() == 4 && rois.rank() == 2 && rois.shape()[1] == 5;
        if !fits || (self.dtype(), rois.dtype()) != (DType::F32, DType::F32) || self.shape()[2..].contains(&0) {
            crate::fail(
                op,
                format!(
                    "a map f32 [N, C, H, W] and regions f32 [K, 5] expected, not {} {:?} and {} {:?}",
                    self.dtype(),
                    self.shape(),
                    rois.dtype(),
                    rois.shape()
                ),
            );
        }
        if bins.0 == 0 || bins.1 == 0 {
            crate::fail(op, format!("{} x {} bins", bins.0, bins.1));
        }
        let rois = rois.stop_gradient();
        let column = |c: usize| rois.slice(1, c..c + 1).reshape([rois.shape()[0]]);
        let image = column(0).cast(DType::U32).checked_index(op, self.shape()[0]);
        ([column(1), column(2), column(3), column(4)], image)
    }

    /// Positions of the first elements of channel `c` of a region's image, for a result [K, C, ...] of `rank` axes.
    fn channel_starts(&self, image: &Tensor, rank: usize) -> Tensor {
        let [n, c, h, w] = self.dims();
        let number = |n: usize| Tensor::scalar(n as u32);
        let along = |axis: usize, n: usize| {
            let mut shape = vec![1; rank];
            shape[axis] = n;
            shape
        };
        let image = image.reshape(along(0, image.count()));
        // An image that is not there is past the end of the map.
        let image = image.lt(&number(n)).select(&image, &number(n));
        (image * number(c) + Tensor::iota(along(1, c), 1)) * number(h * w)
    }

    /// The greatest value of each of `output_size` bins of each region, from the map [N, C, H, W] and regions [K, 5], each
    /// (image, x1, y1, x2, y2): [K, C, bins, bins]. As torchvision's `roi_pool`: coordinates times `spatial_scale` are rounded
    /// (halves up), both ends belong to the region, which has at least one cell; bin `i` of `b` over `n` cells is
    /// `floor(i * n / b) .. ceil((i + 1) * n / b)`, so neighbouring bins may share a cell; parts outside of the map do not count,
    /// and an empty bin gives 0.
    ///
    /// A bin has at most as many cells as it would of a region one cell larger than the map: of regions that reach further over
    /// the edges each bin takes the first ones. Regions clipped to the image are never so.
    ///
    /// # Panics
    /// If shapes do not fit or there are no bins. Images that do not exist give 0 and are reported when outputs are read.
    #[track_caller]
    pub fn roi_pool(&self, rois: &Tensor, output_size: (usize, usize), spatial_scale: f32) -> Tensor {
        if [self.dtype(), rois.dtype()].contains(&DType::F16) {
            return self.in_f32().roi_pool(&rois.in_f32(), output_size, spatial_scale).cast(self.dtype());
        }
        let ([x1, y1, x2, y2], image) = self.regions("roi_pool", rois, output_size);
        let [_, c, h, w] = self.dims();
        let (k, (bins_h, bins_w)) = (rois.shape()[0], output_size);
        let axis = |extent: usize, bins: usize, from: &Tensor, to: &Tensor| {
            let round = |t: &Tensor| {
                // Halves away from 0, as C has it.
                let t = t * spatial_scale;
                t.sign() * (t.abs() + 0.5).floor()
            };
            let (start, end) = (round(from), round(to));
            let length = (&end - &start + 1.0).maximum(&start.lit(1.0));
            Axis { extent, bins, start, length }
        };
        let (ys, xs) = (axis(h, bins_h, &y1, &y2), axis(w, bins_w, &x1, &x2));
        let ((y, y_taps), (x, x_taps)) = (ys.cells(), xs.cells());
        // [K, 1, bins, 1, taps, 1] and [K, 1, 1, bins, 1, taps]; then positions in the plane, or past the end of everything.
        let y = y.reshape([k, 1, bins_h, 1, y_taps, 1]);
        let x = x.reshape([k, 1, 1, bins_w, 1, x_taps]);
        let number = |n: usize| Tensor::scalar(n as u32);
        let there = y.lt(&number(h)).logical_and(&x.lt(&number(w)));
        let flat = self.channel_starts(&image, 6) + &y * number(w) + &x;
        let seen = self.stop_gradient().take(&flat);
        let winner = there.select(&seen, &seen.lit(seen.dtype().least())).argmax(&[4, 5]);
        // The winner's position again, from its number.
        let pooled = [k, c, bins_h, bins_w];
        let pick = |cells: &Tensor, taps: usize, tap: &Tensor, axis: usize| {
            let along = Tensor::iota(pooled, 0) * number(pooled[axis]) + Tensor::iota(pooled, axis);
            cells.take(&(along * number(taps) + tap))
        };
        let (row, column) = (&winner / number(x_taps), winner.rem(&number(x_taps)));
        let (row, column) = (pick(&y, y_taps, &row, 2), pick(&x, x_taps, &column, 3));
        let there = row.lt(&number(h)).logical_and(&column.lt(&number(w)));
        let flat = self.channel_starts(&image, 4) + row * number(w) + column;
        self.take(&there.select(&flat, &Tensor::scalar(u32::MAX)))
    }

    /// Means of points sampled in each bin of each region, from the map [N, C, H, W] and regions [K, 5], each
    /// (image, x1, y1, x2, y2): [K, C, bins, bins]. As torchvision's `roi_align`: nothing is rounded; points are spread evenly over
    /// a bin and read between the four cells around them; a point more than a cell outside of the map counts as 0.
    ///
    /// Without a sampling ratio a bin has at most as many points as it would of a region of the map's size.
    ///
    /// # Panics
    /// If shapes do not fit, or there are no bins or points. Images that do not exist give 0 and are reported when outputs are
    /// read.
    #[track_caller]
    pub fn roi_align(&self, rois: &Tensor, options: &RoiAlign) -> Tensor {
        if [self.dtype(), rois.dtype()].contains(&DType::F16) {
            return self.in_f32().roi_align(&rois.in_f32(), options).cast(self.dtype());
        }
        let ([x1, y1, x2, y2], image) = self.regions("roi_align", rois, options.output_size);
        if options.sampling_ratio == Some(0) {
            crate::fail("roi_align", "a sampling ratio of 0");
        }
        let [_, _, h, w] = self.dims();
        let (k, (bins_h, bins_w)) = (rois.shape()[0], options.output_size);
        let axis = |extent: usize, bins: usize, from: &Tensor, to: &Tensor| {
            let offset = if options.aligned { 0.5 } else { 0.0 };
            let start = from * options.spatial_scale - offset;
            let length = (to * options.spatial_scale - offset) - &start;
            let length = if options.aligned { length } else { length.maximum(&start.lit(1.0)) };
            Axis { extent, bins, start, length }
        };
        let (ys, xs) = (axis(h, bins_h, &y1, &y2), axis(w, bins_w, &x1, &x2));
        let (y, y_weight) = ys.samples(options.sampling_ratio);
        let (x, x_weight) = xs.samples(options.sampling_ratio);
        // Bilinear weights are products, so a bin is a sum over the rows and columns that its points read.
        let tall = |t: &Tensor| t.reshape([k, 1, bins_h, 1, y.shape()[2], 1]);
        let wide = |t: &Tensor| t.reshape([k, 1, 1, bins_w, 1, x.shape()[2]]);
        let flat = self.channel_starts(&image, 6) + tall(&y) * Tensor::scalar(w as u32) + wide(&x);
        (self.take(&flat) * (tall(&y_weight) * wide(&x_weight))).sum(&[4, 5])
    }
}

impl Axis {
    /// [K, bins, taps]: the cells of each bin, u32; the extent and beyond where there are no more.
    fn cells(&self) -> (Tensor, usize) {
        let (k, bins) = (self.start.count(), self.bins);
        let taps = (self.extent + 1).div_ceil(bins) + 1;
        let taps = taps.min(self.extent);
        let limit = self.start.lit(self.extent as f64);
        let per_region = |t: &Tensor| t.reshape([k, 1]);
        // In whole numbers: a quotient that is rounded might begin or end a bin one cell further.
        let (start, length) = (per_region(&self.start), per_region(&self.length).minimum(&self.start.lit(65536.0)));
        let (length, count) = (length.cast(DType::U32), Tensor::scalar(bins as u32));
        let i = Tensor::iota([k, bins], 1);
        let first = (&i * &length / &count).cast(DType::F32) + &start;
        let end =
            (((i + Tensor::scalar(1u32)) * length + Tensor::scalar(bins as u32 - 1)) / count).cast(DType::F32) + &start;
        let clip = |t: Tensor| t.maximum(&t.lit(0.0)).minimum(&limit).cast(DType::U32).reshape([k, bins, 1]);
        let (first, end) = (clip(first), clip(end));
        let at = first + Tensor::iota([1, 1, taps], 2);
        (at.lt(&end).select(&at, &Tensor::scalar(self.extent as u32)), taps)
    }

    /// [K, bins, 2 * points]: the cells that each bin's points lie between, and their weights, divided by the number of points.
    fn samples(&self, ratio: Option<usize>) -> (Tensor, Tensor) {
        let (k, bins, n) = (self.start.count(), self.bins, self.extent);
        let most = ratio.unwrap_or(n.div_ceil(bins));
        let per_region = |t: &Tensor| t.reshape([k, 1, 1]);
        let (start, size) = (per_region(&self.start), per_region(&self.length) / bins as f32);
        let points = match ratio {
            Some(r) => size.lit(r as f64),
            // A quotient that ought to be whole may come out just above.
            None => (&size * (1.0 - 1e-6)).ceil().maximum(&size.lit(0.0)).minimum(&size.lit(most as f64)),
        };
        let counted = points.maximum(&points.lit(1.0));
        let (bin, point) =
            (Tensor::iota([1, bins, 1], 1).cast(DType::F32), Tensor::iota([1, 1, most], 2).cast(DType::F32));
        let at = start + bin * &size + (&point + 0.5) * (size / &counted);
        let (zero, last) = (at.lit(0.0), at.lit((n - 1) as f64));
        let counts = at.ge(&at.lit(-1.0)).logical_and(&at.le(&at.lit(n as f64))).logical_and(&point.lt(&points));
        // At the far edge a point is at the last cell.
        let at = at.maximum(&zero).minimum(&last);
        let low = at.floor();
        let t = &at - &low;
        let weight = |w: Tensor| (counts.select(&w, &zero) / &counted).broadcast_to([k, bins, most]);
        let cell = |c: Tensor| c.minimum(&last).cast(DType::U32).broadcast_to([k, bins, most]);
        let cells = Tensor::concat(&[&cell(low.clone()), &cell(low + 1.0)], 2);
        (cells, Tensor::concat(&[&weight(1.0 - &t), &weight(t)], 2))
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    // Regions made from numbers in [0, 1): ordered corners, some over the edge; images 0 and 1.
    let regions = |t: &Tensor, reach: f32| {
        let part = |c: usize| t.stop_gradient().slice(1, c..c + 1);
        let image = (part(0) * 2.0).floor();
        let (x1, y1) = (part(1) * reach - 1.0, part(2) * reach - 1.0);
        let (x2, y2) = (&x1 + part(3) * reach, &y1 + part(4) * reach);
        Tensor::concat(&[&image, &x1, &y1, &x2, &y2], 1)
    };
    let mut all = vec![];
    for (shape, k, size) in [([2, 2, 6, 5], 3, (2, 3)), ([2, 1, 3, 7], 4, (4, 1)), ([2, 3, 1, 1], 2, (1, 2))] {
        let rois = [k, 5];
        let name = format!("roi_pool {shape:?} {k} regions {size:?}");
        // The regions themselves have no gradient, by definition.
        all.push(
            OpCase::new("roi_pool", name, &[&shape, &rois], move |x| {
                x[0].square().roi_pool(&regions(&x[1].in_f32(), 5.0), size, 0.75)
            })
            .domain(0.0, 1.0)
            .no_difference(),
        );
        for (sampling_ratio, aligned) in [(Some(2), true), (Some(1), false), (None, true), (None, false)] {
            let name =
                format!("roi_align {shape:?} {k} regions {size:?} sampling {sampling_ratio:?} aligned {aligned}");
            all.push(
                OpCase::new("roi_align", name, &[&shape, &rois], move |x| {
                    let options = RoiAlign { output_size: size, spatial_scale: 0.75, sampling_ratio, aligned };
                    x[0].square().roi_align(&regions(&x[1].in_f32(), 5.0), &options)
                })
                .domain(0.0, 1.0)
                .no_difference(),
            );
        }
    }
    // Regions that are constants, so that differences serve.
    let fixed = |count: usize| {
        let i = Tensor::iota([count, 5], 0).cast(DType::F32);
        let c = Tensor::iota([count, 5], 1).cast(DType::F32);
        // Image 0, corners at growing places, none halfway between two cells.
        c.equal(&c.lit(0.0)).select(&c.lit(0.0), &(&c * 0.6 + &i * 0.37))
    };
    all.push(OpCase::new("roi_pool", "roi_pool of constant regions", &[&[1, 2, 5, 4]], move |x| {
        x[0].roi_pool(&fixed(3), (2, 2), 1.0)
    }));
    all.push(OpCase::new("roi_align", "roi_align of constant regions", &[&[1, 2, 5, 4]], move |x| {
        x[0].exp().roi_align(&fixed(3), &RoiAlign { aligned: true, ..RoiAlign::new((2, 3)) })
    }));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checked;
    use crate::op::Array;
    use crate::reference::evaluate;
    use std::collections::HashMap;

    /// A 10 x 7 map, a region of 5 x 5, and 2 x 2 bins of 3 x 3: neighbours share the middle row and column, since
    /// 5 / 2 is 2.5, which begins at 2 and ends at 3.
    #[test]
    fn a_worked_example() {
        let map = Array::from_fn(&[1, 1, 10, 7], |i| (i[2] * 7 + i[3]) as f64);
        let rois = Array::new([1, 5], vec![0.0, 1.0, 3.0, 5.0, 7.0]);
        let leaves = HashMap::from([("map".into(), map), ("rois".into(), rois)]);
        let (x, r) = (Tensor::input("map", [1, 1, 10, 7], DType::F32), Tensor::input("rois", [1, 5], DType::F32));
        let got = evaluate(&[&x.roi_pool(&r, (2, 2), 1.0)], &leaves).remove(0);
        // Rows 3..6 and 5..8, columns 1..4 and 3..6.
        assert_eq!(got.data, [5.0 * 7.0 + 3.0, 5.0 * 7.0 + 5.0, 7.0 * 7.0 + 3.0, 7.0 * 7.0 + 5.0]);
    }

    #[test]
    fn bad_arguments() {
        let x = Tensor::input("x", [2, 3, 5, 5], DType::F32);
        let rois = Tensor::input("rois", [4, 5], DType::F32);
        let zero = RoiAlign { sampling_ratio: Some(0), ..RoiAlign::new((2, 2)) };
        for (e, reason) in [
            (
                checked(|| x.roi_pool(&rois.slice(1, 0..4), (2, 2), 1.0)).unwrap_err(),
                "roi_pool: a map f32 [N, C, H, W]",
            ),
            (checked(|| x.roi_pool(&rois, (2, 0), 1.0)).unwrap_err(), "roi_pool: 2 x 0 bins"),
            (checked(|| x.flatten(2).roi_align(&rois, &RoiAlign::new((2, 2)))).unwrap_err(), "roi_align: a map f32"),
            (checked(|| x.roi_align(&rois, &zero)).unwrap_err(), "roi_align: a sampling ratio of 0"),
        ] {
            let e = e.to_string();
            assert!(e.starts_with(reason) && e.contains("roi.rs"), "{e}");
        }
    }
}
