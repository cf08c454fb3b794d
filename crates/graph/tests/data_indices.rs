//! Indices in the data that are out of range: nothing is read or written outside of a plane, and the run reports them.

mod support;

use support::gpu;
use wgrad_graph::{DType, Data, Device, Error, Program, RoiAlign, State, Tensor, Updates};

fn check(device: &Device) {
    // Position 6 is past a plane of 6, where the next plane begins.
    let (x, at) = (Tensor::input("x", [2, 1, 2], DType::F32), Tensor::input("at", [2, 1, 2], DType::U32));
    let y = x.max_unpool(&at, &[2, 3]);
    let program = Program::compile(device, &[&y], &Updates::new()).unwrap();
    let mut state = State::init(device, &program, 0).unwrap();
    let values = [1.0f32, 2.0, 3.0, 4.0];
    let mut run = |at: [u32; 4]| {
        let (values, at) = (values.to_vec(), at.to_vec());
        program.run(&mut state, &[("x", Data::from(&values)), ("at", Data::from(&at))]).unwrap().f32(0)
    };
    assert_eq!(run([5, 0, 2, 2]).unwrap(), [2.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 7.0, 0.0, 0.0, 0.0], "{device:?}");
    match run([6, 0, 2, 1]) {
        Err(Error::Index { op, limit: 6, count: 1, site }) => {
            assert_eq!(op, "max_unpool");
            assert!(site.file().contains("data_indices.rs"), "{site}");
        }
        other => panic!("{device:?}: {other:?}"),
    }

    // A region of an image that is not there.
    let (map, rois) = (Tensor::input("map", [2, 1, 3, 3], DType::F32), Tensor::input("rois", [1, 5], DType::F32));
    for (op, y) in
        [("roi_pool", map.roi_pool(&rois, (1, 1), 1.0)), ("roi_align", map.roi_align(&rois, &RoiAlign::new((1, 1))))]
    {
        let program = Program::compile(device, &[&y], &Updates::new()).unwrap();
        let mut state = State::init(device, &program, 0).unwrap();
        let (map, rois) = (vec![1.0f32; 18], vec![2.0f32, 0.0, 0.0, 2.0, 2.0]);
        let got = program.run(&mut state, &[("map", Data::from(&map)), ("rois", Data::from(&rois))]).unwrap().f32(0);
        assert!(matches!(&got, Err(Error::Index { op: o, limit: 2, count: 1, .. }) if o == op), "{device:?}: {got:?}");
    }
}

#[test]
fn out_of_range() {
    check(&Device::cpu());
    if let Some(device) = gpu() {
        check(device);
    }
}
