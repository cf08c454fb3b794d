//! Sums of products by Einstein's convention, over the same kernel as the matrix product.

use crate::ops::matmul::MatMul;
use crate::{OpCase, Tensor};
use std::collections::BTreeMap;

/// A tensor with a label for each axis.
struct Term {
    labels: Vec<char>,
    value: Tensor,
}

/// What an equation says: the labels of each operand and of the result. Axes under an ellipsis have labels from
/// [`ELLIPSIS`] on, counted from the right.
struct Equation {
    terms: Vec<Vec<char>>,
    output: Vec<char>,
}

/// The first of the labels that no equation can name.
const ELLIPSIS: u32 = 0xE000;

fn ellipsis_label(from_right: usize) -> char {
    char::from_u32(ELLIPSIS + from_right as u32).expect("a private character")
}

/// Labels of one term; `None` stands for an ellipsis.
fn parse_labels(text: &str) -> Result<Vec<Option<char>>, String> {
    let (mut labels, mut rest) = (vec![], text);
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("...") {
            if labels.contains(&None) {
                return Err(format!("two ellipses in \"{text}\""));
            }
            labels.push(None);
            rest = after;
        } else if c.is_ascii_alphabetic() {
            labels.push(Some(c));
            rest = &rest[1..];
        } else {
            return Err(format!("'{c}' in \"{text}\" is neither a letter nor part of an ellipsis"));
        }
    }
    Ok(labels)
}

impl Equation {
    fn parse(text: &str, shapes: &[&[usize]]) -> Result<Equation, String> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (inputs, output) = match text.split_once("->") {
            Some((inputs, output)) => (inputs, Some(output)),
            None => (text.as_str(), None),
        };
        let inputs: Vec<&str> = inputs.split(',').collect();
        if inputs.len() != shapes.len() {
            return Err(format!("the equation has {} terms for {} tensors", inputs.len(), shapes.len()));
        }
        let mut terms = vec![];
        let mut widest = 0;
        for (term, shape) in inputs.iter().zip(shapes) {
            let labels = parse_labels(term)?;
            let named = labels.iter().flatten().count();
            let open = labels.contains(&None);
            if named > shape.len() || (!open && named != shape.len()) {
                return Err(format!("\"{term}\" does not fit {shape:?}"));
            }
            let hidden = shape.len() - named;
            widest = widest.max(hidden);
            terms.push(spell(&labels, hidden));
        }
        let output = match output {
            Some(output) => {
                let labels = spell(&parse_labels(output)?, widest);
                if let Some(c) = labels.iter().find(|&c| !terms.iter().flatten().any(|t| t == c)) {
                    return Err(format!("'{c}' of the result is in no term"));
                }
                if let Some((i, c)) = labels.iter().enumerate().find(|(i, c)| labels[..*i].contains(c)) {
                    return Err(format!("'{c}' stands twice in the result, at {i} again"));
                }
                labels
            }
            // What the ellipses stand for, then the letters that stand once, in the order of the alphabet.
            None => {
                let mut counts: BTreeMap<char, usize> = BTreeMap::new();
                terms.iter().flatten().for_each(|&c| *counts.entry(c).or_default() += 1);
                let once = counts.into_iter().filter(|&(c, n)| n == 1 && c.is_ascii()).map(|(c, _)| c);
                spell(&[None], widest).into_iter().chain(once).collect()
            }
        };
        Ok(Equation { terms, output })
    }
}

/// Labels with the ellipsis as `hidden` axes.
fn spell(labels: &[Option<char>], hidden: usize) -> Vec<char> {
    let each = |l: &Option<char>| match l {
        Some(c) => vec![*c],
        None => (0..hidden).rev().map(ellipsis_label).collect(),
    };
    labels.iter().flat_map(each).collect()
}

impl Term {
    /// Labels that stand twice are a diagonal.
    #[track_caller]
    fn new(mut labels: Vec<char>, value: &Tensor) -> Term {
        let mut value = value.clone();
        while let Some((i, j)) = repeated(&labels) {
            if value.shape()[i] != value.shape()[j] {
                let shape = value.shape();
                crate::fail("einsum", format!("'{}' is {} and {} in {shape:?}", labels[i], shape[i], shape[j]));
            }
            value = value.diagonal(0, i as isize, j as isize);
            let label = labels.remove(j);
            labels.remove(i);
            labels.push(label);
        }
        Term { labels, value }
    }

    fn has(&self, label: char) -> bool {
        self.labels.contains(&label)
    }

    fn size(&self, label: char) -> usize {
        let axis = self.labels.iter().position(|&l| l == label).expect("one of its labels");
        self.value.shape()[axis]
    }

    /// Summed over the axes whose labels are not kept.
    #[track_caller]
    fn summed(&self, kept: impl Fn(char) -> bool) -> Term {
        let axes: Vec<isize> = (0..self.labels.len()).filter(|&d| !kept(self.labels[d])).map(|d| d as isize).collect();
        let labels = self.labels.iter().copied().filter(|&l| kept(l)).collect();
        Term { labels, value: self.value.sum(&axes) }
    }

    /// The axes in this order; those it lacks have extent 1.
    #[track_caller]
    fn ordered(&self, labels: &[char]) -> Tensor {
        let place = |l: &char| self.labels.iter().position(|x| x == l);
        let order: Vec<usize> = labels.iter().filter_map(place).collect();
        let shape: Vec<usize> = labels.iter().map(|l| place(l).map_or(1, |d| self.value.shape()[d])).collect();
        self.value.permute(&order).reshape(shape)
    }

    /// The product of two terms, summed over what `needed` does not name.
    #[track_caller]
    fn times(self, other: Term, needed: impl Fn(char) -> bool) -> Term {
        // Axes of extent 1 stretch: against a longer one, their label is the other's alone.
        let (a, b) = (self.without_stretched(&other), other.without_stretched(&self));
        let a = a.summed(|l| needed(l) || b.has(l));
        let b = b.summed(|l| needed(l) || a.has(l));
        let of_both = |l: &char| a.has(*l) && b.has(*l);
        let batch: Vec<char> = a.labels.iter().copied().filter(|&l| of_both(&l) && needed(l)).collect();
        let k: Vec<char> = a.labels.iter().copied().filter(|&l| of_both(&l) && !needed(l)).collect();
        let m: Vec<char> = a.labels.iter().copied().filter(|&l| !b.has(l)).collect();
        let n: Vec<char> = b.labels.iter().copied().filter(|&l| !a.has(l)).collect();
        let labels = [&batch[..], &m, &n].concat();
        if k.is_empty() || m.is_empty() || n.is_empty() {
            // No matrix product, but a product of elements under a sum, which fuses.
            let all = [&labels[..], &k].concat();
            let product = a.ordered(&all) * b.ordered(&all);
            return Term { labels: all, value: product }.summed(needed);
        }
        let sizes = |t: &Term, labels: &[char]| labels.iter().map(|&l| t.size(l)).collect::<Vec<_>>();
        let op = MatMul { batch: sizes(&a, &batch), m: sizes(&a, &m), k: sizes(&a, &k), n: sizes(&b, &n) };
        let left = a.ordered(&[&batch[..], &m, &k].concat());
        let right = b.ordered(&[&batch[..], &k, &n].concat());
        Term { labels, value: Tensor::apply(op, &[&left, &right]) }
    }

    /// Without the axes of extent 1 that are longer in `other`.
    #[track_caller]
    fn without_stretched(&self, other: &Term) -> Term {
        self.summed(|l| !(other.has(l) && self.size(l) == 1 && other.size(l) != 1))
    }
}

/// The places of a label that stands twice.
fn repeated(labels: &[char]) -> Option<(usize, usize)> {
    (0..labels.len()).find_map(|j| Some((labels[..j].iter().position(|&l| l == labels[j])?, j)))
}

impl Tensor {
    /// The sum of products that an equation describes: `einsum("bhid,bhjd->bhij", &[&q, &k])`. Each letter names an axis; one
    /// that the result lacks is summed over, and one that stands twice in a term takes the diagonal. `...` stands for any
    /// further axes, which broadcast, as axes of extent 1 do. Without `->` the result has the axes of the ellipses, then the
    /// letters that stand once, in the order of the alphabet. More than two tensors are multiplied from left to right.
    ///
    /// Two terms are one contraction that reads them where they lie, whatever the order of the axes. PyTorch's `einsum`.
    #[track_caller]
    pub fn einsum(equation: &str, operands: &[&Tensor]) -> Tensor {
        let shapes: Vec<&[usize]> = operands.iter().map(|t| t.shape()).collect();
        let parsed = match Equation::parse(equation, &shapes) {
            Ok(parsed) => parsed,
            Err(reason) => crate::fail("einsum", format!("\"{equation}\": {reason}")),
        };
        let mut sizes: BTreeMap<char, usize> = BTreeMap::new();
        for (labels, shape) in parsed.terms.iter().zip(&shapes) {
            for (&l, &n) in labels.iter().zip(*shape) {
                let known = sizes.entry(l).or_insert(n);
                if *known != n && *known != 1 && n != 1 {
                    let name = if l.is_ascii() { format!("'{l}'") } else { "an axis of the ellipsis".into() };
                    crate::fail("einsum", format!("\"{equation}\": {name} is {known} and {n} in {shapes:?}"));
                }
                if *known == 1 {
                    *known = n;
                }
            }
        }
        let mut terms = Vec::with_capacity(operands.len());
        // Loops, because closures would hide the caller's place.
        for (labels, value) in parsed.terms.iter().zip(operands) {
            terms.push(Term::new(labels.clone(), value));
        }
        let mut rest = terms.into_iter();
        let mut product = rest.next().expect("an equation has a term");
        while let Some(next) = rest.next() {
            let later: Vec<char> = rest.as_slice().iter().flat_map(|t| t.labels.clone()).collect();
            product = product.times(next, |l| parsed.output.contains(&l) || later.contains(&l));
        }
        product.summed(|l| parsed.output.contains(&l)).ordered(&parsed.output)
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let case = |equation: &'static str, shapes: &[&[usize]]| {
        OpCase::new("einsum", format!("einsum {equation} {shapes:?}"), shapes, move |x| {
            Tensor::einsum(equation, &x.iter().collect::<Vec<_>>())
        })
    };
    vec![
        case("ij,jk->ik", &[&[3, 5], &[5, 4]]),
        case("ij,kj", &[&[3, 5], &[4, 5]]),
        case("bhid,bhjd->bhij", &[&[2, 3, 4, 5], &[2, 3, 6, 5]]),
        case("bhij,bhjd->bihd", &[&[2, 3, 4, 5], &[2, 3, 5, 2]]),
        case("abc,dce->bead", &[&[2, 3, 4], &[5, 4, 2]]),
        case("abcd,cdab", &[&[2, 3, 2, 3], &[2, 3, 2, 3]]),
        case("acbd,dcef->abfe", &[&[2, 3, 2, 5], &[5, 3, 2, 4]]),
        case("i,j->ij", &[&[3], &[4]]),
        case("i,i", &[&[7], &[7]]),
        case("bi,bi->b", &[&[3, 7], &[3, 7]]),
        case("ij,j->i", &[&[3, 7], &[7]]),
        case("ii->i", &[&[4, 4]]),
        case("ii", &[&[4, 4]]),
        case("iij->ji", &[&[3, 3, 2]]),
        case("ijk->kj", &[&[2, 3, 4]]),
        case("iij,jkk->ik", &[&[3, 3, 4], &[4, 5, 5]]),
        case("...ij,...jk->...ik", &[&[2, 1, 3, 4], &[5, 4, 2]]),
        case("...i,i", &[&[2, 3, 4], &[4]]),
        case("i...,j...->...", &[&[2, 5], &[3, 5]]),
        case("ij,jk->ik", &[&[3, 1], &[5, 4]]),
        case("bi,oij,bj->bo", &[&[3, 2], &[4, 2, 5], &[3, 5]]),
        case("ab,bc,cd,de->ae", &[&[2, 3], &[3, 4], &[4, 3], &[3, 2]]),
        case("ij,jk->ik", &[&[3, 0], &[0, 4]]),
        case("ij,kl->", &[&[2, 3], &[3, 2]]),
    ]
}
