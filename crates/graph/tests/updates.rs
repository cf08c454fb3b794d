//! What a program may write back.

use wgrad_graph::{DType, Init, Tensor, Updates, checked};

#[test]
fn a_state_has_one_new_value() {
    let state = |name: &str| Tensor::state(name, [3], DType::F32, Init::Constant(0.0));
    let (a, b) = (state("a"), state("b"));
    let value = &a + 1.0;
    let mut updates = Updates::new();
    updates.assign(&a, &value);
    // The same again, by another leaf of that name.
    updates.assign(&state("a"), &value);
    updates.extend(&updates.clone());
    assert_eq!(updates.states().count(), 1);
    let error = checked(|| updates.clone().assign(&a, &b)).unwrap_err().to_string();
    assert!(error.starts_with("assign: \"a\" is given two new values, at "), "{error}");
    let pack = Tensor::pack(&[&b, &a]);
    assert!(checked(|| updates.clone().assign_pack(&[&b, &a], &pack)).is_err());
}
