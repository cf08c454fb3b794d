//! Operations on shapes are index maps of the kernels that use them: what they cost is counted in launches and in memory.

use wgrad_graph::{DType, Device, PadMode, Program, Tensor, Updates};

/// Launches and temporary bytes of a program.
fn cost(outputs: &[&Tensor]) -> (usize, usize) {
    let summary = Program::compile(&Device::cpu(), outputs, &Updates::new()).unwrap().summary();
    (summary.launches, summary.temporary_bytes)
}

fn input(name: &str, shape: &[usize]) -> Tensor {
    Tensor::input(name, shape, DType::F32)
}

#[test]
fn views_cost_no_kernel() {
    let x = input("x", &[4, 6]);
    for (name, y) in [
        ("flip", x.flip(&[0, 1])),
        ("roll", x.roll(1, 2)),
        ("slice_signed", x.slice_signed(1, 5, 3, -2)),
        ("reflect", x.pad_last(&[(2, 1), (3, 3)], PadMode::Reflect)),
        ("circular", x.pad_last(&[(1, 1)], PadMode::Circular)),
        ("stack", Tensor::stack(&[&x, &x.flip(&[0])], -1)),
        ("diagonal", x.diagonal(1, 0, 1)),
        ("diag_embed", x.diag_embed(-1)),
        ("tril", x.tril(0)),
        ("movedim", x.movedim(0, -1)),
    ] {
        assert_eq!(cost(&[&y.exp()]).0, 1, "{name}");
    }
}

#[test]
fn products_read_their_terms_where_they_lie() {
    let (q, k) = (input("q", &[2, 3, 4, 5]), input("k", &[2, 3, 6, 5]));
    let (a, b) = (input("a", &[2, 1, 3, 4]), input("b", &[5, 4, 2]));
    let (c, d) = (input("c", &[2, 3, 4]), input("d", &[6, 4, 7]));
    for (name, y) in [
        ("scores", Tensor::einsum("bhid,bhjd->bhij", &[&q, &k])),
        ("axes between others", Tensor::einsum("bhid,bhjd->hbji", &[&q.flip(&[3]), &k]).permute(&[1, 0, 3, 2])),
        ("two sums", Tensor::einsum("bhid,bhjd->ij", &[&q, &k])),
        ("lists of axes", Tensor::einsum("abc,dce->abde", &[&c, &d])),
        ("broadcast batches", a.matmul(&b)),
    ] {
        assert_eq!(cost(&[&y]).0, 1, "{name}");
    }
    // No difference is stored, only the distances' squares.
    let (p, r) = (input("p", &[64, 32]), input("r", &[48, 32]));
    assert!(cost(&[&p.cdist(&r, 2.0)]).1 <= 64 * 48 * 4);
}
