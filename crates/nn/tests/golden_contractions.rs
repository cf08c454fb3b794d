//! Sums of products and distances against PyTorch. The file is written by scripts/golden/contractions.py.

mod support;

use support::family::Family;
use wgrad_graph::Tensor;

#[test]
fn contractions() {
    let mut f = Family::load("contractions");
    f.each("matmul", |t| t("x0").matmul(&t("x1")));
    let equations = [
        ("bhid,bhjd->bhij", 2),
        ("ij,kj", 2),
        ("abc,dce->bead", 2),
        ("iij->ji", 1),
        ("ii", 1),
        ("iij,jkk->ik", 2),
        ("...ij,...jk->...ik", 2),
        ("...i,i", 2),
        ("bi,oij,bj->bo", 3),
        ("ab,bc,cd,de->ae", 4),
        ("i,j", 2),
        ("ba,cb", 2),
    ];
    for (i, (equation, operands)) in equations.into_iter().enumerate() {
        f.case(&format!("einsum.{i}"), |t| {
            let operands: Vec<Tensor> = (0..operands).map(|i| t(&format!("x{i}"))).collect();
            Tensor::einsum(equation, &operands.iter().collect::<Vec<_>>())
        });
    }
    f.each("outer", |t| t("x0").outer(&t("x1")));
    f.each("dot", |t| t("x0").dot(&t("x1")));
    f.each("bilinear", |t| t("x0").bilinear(&t("x1"), &t("x2")));
    f.case("cosine.0", |t| t("x0").cosine_similarity(&t("x1"), 1, 1e-8));
    f.case("cosine.1", |t| t("x0").cosine_similarity(&t("x1"), -1, 1e-8));
    f.case("cosine.2", |t| t("x0").cosine_similarity(&t("x1"), 0, 1e-3));
    f.case("pairwise.0", |t| t("x0").pairwise_distance(&t("x1"), 2.0, 1e-6));
    f.case("pairwise.1", |t| t("x0").pairwise_distance(&t("x1"), 1.0, 1e-6));
    f.case("pairwise.2", |t| t("x0").pairwise_distance(&t("x1"), 3.0, 0.1));
    for (i, p) in [2.0, 1.0, 3.0, f32::INFINITY].into_iter().enumerate() {
        f.case(&format!("cdist.{i}"), |t| t("x0").cdist(&t("x1"), p));
    }
    f.case("cdist.same", |t| t("x0").cdist(&t("x1"), 2.0));
    for (i, axis) in [-1, 0, 1].into_iter().enumerate() {
        f.case(&format!("cross.{i}"), |t| t("x0").cross(&t("x1"), axis));
    }
    f.check(1e-5, f64::INFINITY);
}
