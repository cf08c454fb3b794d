//! The example of an operation from outside, through the contract's checks and through training.

#[path = "../examples/custom_op.rs"]
mod custom_op;

use wgrad::prelude::*;

#[test]
fn an_operation_from_outside_passes_the_checks() {
    let devices = custom_op::devices().unwrap();
    assert!(devices.len() == 2 || std::env::var("WGRAD_TEST_DEVICE").as_deref() == Ok("cpu"), "no GPU was found");
    for device in devices {
        assert!(custom_op::check(&device).unwrap() >= 4);
        let [first, last] = custom_op::train(&device, 150).unwrap();
        assert!(last < 0.3 * first, "{device:?}: {first} to {last}");
    }
}

#[test]
fn its_errors_name_it_and_the_caller() {
    let x = Tensor::input("x", [3, 5], DType::F32);
    let e = checked(|| custom_op::swiglu(&x, 1.0)).unwrap_err().to_string();
    assert!(e.contains("swiglu") && e.contains("[3, 5]") && e.contains("tests/custom_op.rs"), "{e}");
    let e = checked(|| custom_op::swiglu(&x.cast(DType::F16).slice(1, 0..4), 1.0)).unwrap_err().to_string();
    assert!(e.contains("f32 expected, not f16"), "{e}");
}
