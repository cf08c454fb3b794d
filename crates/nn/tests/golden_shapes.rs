//! Operations on shapes against PyTorch. The file is written by scripts/golden/shapes.py.

mod support;

use support::family::Family;
use wgrad_graph::{PadMode, Tensor, Window};

/// Parts used apart.
fn parts(list: Vec<Tensor>) -> Tensor {
    let each: Vec<Tensor> = list.iter().enumerate().map(|(i, p)| (p * (i as f32 + 0.5)).sin().sum_all()).collect();
    Tensor::stack(&each.iter().collect::<Vec<_>>(), 0)
}

#[test]
fn shapes() {
    let mut f = Family::load("shapes");
    f.options("flip", &[&[0isize][..], &[1, -1], &[0, 1, 2]], |x, axes| x.flip(axes));
    f.options("roll", &[(2, 0), (-1, 1), (13, -1)], |x, &(shift, axis)| x.roll(axis, shift));
    f.options("repeat", &[&[2usize, 3][..], &[3, 1, 2], &[1, 4]], |x, repeats| x.repeat(repeats));
    f.options("tile", &[&[2usize][..]], |x, repeats| x.repeat(repeats));
    f.options("repeat_interleave", &[(2, 0), (3, 1), (2, -1)], |x, &(n, axis)| x.repeat_interleave(n, axis));
    for (name, mode) in
        [("reflect", PadMode::Reflect), ("replicate", PadMode::Replicate), ("circular", PadMode::Circular)]
    {
        let pads: [&[(isize, isize)]; 3] = [&[(2, 0), (1, 2)], &[(1, 3), (3, 3)], &[(0, 0), (0, 1)]];
        f.options(&format!("pad.{name}"), &pads, |x, pads| x.pad_last(pads, mode));
    }
    let pads: [(&[(isize, isize)], f32); 3] =
        [(&[(1, 2)], 0.0), (&[(1, -2), (-1, 2)], 0.5), (&[(-1, 0), (1, 1), (0, 0)], -2.0)];
    f.options("pad.constant", &pads, |x, &(pads, fill)| x.pad_last(pads, PadMode::Constant(fill)));
    f.case("split.0", |t| parts(t("x").split(2, 0)));
    f.case("split.1", |t| parts(t("x").split(2, 1)));
    f.case("split.2", |t| parts(t("x").split_sizes(&[1, 3, 1], -1)));
    f.options("chunk", &[(3, 0), (4, 1), (2, -1)], |x, &(n, axis)| parts(x.chunk(n, axis)));
    f.options("stack", &[0, 1, -1], |x, &axis| Tensor::stack(&[x, &x.exp(), &x.square()], axis));
    f.options("movedim", &[(0, -1), (-1, 1), (1, 2)], |x, &(from, to)| x.movedim(from, to));
    f.options("unbind", &[0, 1, -1], |x, &axis| parts(x.unbind(axis)));
    let w = |size, stride, dilation, pad| Window { size, stride, dilation, padding: (pad, pad) };
    let windows = [[w(2, 1, 1, 0), w(3, 1, 1, 0)], [w(3, 2, 1, 1); 2], [w(3, 1, 1, 0), w(2, 3, 2, 1)]];
    f.options("unfold", &windows, |x, w| x.unfold(w));
    f.options("fold", &windows, |x, w| x.fold(&[4, 6], w));
    f.options("pixel_shuffle", &[2, 1, 3], |x, &r| x.pixel_shuffle(r));
    f.options("pixel_unshuffle", &[2, 1, 3], |x, &r| x.pixel_unshuffle(r));
    f.options("channel_shuffle", &[2, 4, 8], |x, &groups| x.channel_shuffle(groups));
    f.options("diagonal", &[(0, 0, 1), (1, -2, -1), (-1, 2, 0)], |x, &(offset, a, b)| x.diagonal(offset, a, b));
    f.options("diag_embed", &[0, 1, -2], |x, &offset| x.diag_embed(offset));
    f.options("tril", &[0, 1, -1], |x, &offset| x.tril(offset));
    f.options("triu", &[0, 2, -1], |x, &offset| x.triu(offset));
    f.options("narrow", &[(0, 1, 1), (-1, 1, 3), (1, 0, 2)], |x, &(axis, start, len)| x.narrow(axis, start, len));
    f.options("slice", &[(1, 2, 2), (0, 2, 3), (2, 1, 1)], |x, &(start, len, step)| x.slice_step(1, start, len, step));
    f.check(1e-5, f64::INFINITY);
}
