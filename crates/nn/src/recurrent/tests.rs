use super::*;
use wgrad_graph::{Data, Device, Init, Program, State, Updates, checked, gradients};

const CELLS: [Cell; 6] = [Cell::Tanh, Cell::Relu, Cell::Lstm, Cell::PeepholeLstm, Cell::Gru, Cell::GruResetBefore];

/// Output, states and the gradient with respect to x, of two layers in both directions, given x [4, 2, 3] and lengths.
fn run(cell: Cell, x: &[f32], lengths: Option<[u32; 2]>) -> Result<Vec<Vec<f32>>, String> {
    let input = Tensor::input("x", [4, 2, 3], DType::F32);
    let ends = lengths.map(|_| Tensor::input("lengths", [2], DType::U32));
    let scope = Scope::train();
    let out = Recurrent::new(cell, 3, 2).layers(2).bidirectional(true).run(&scope, &input, &[], ends.as_ref());
    let loss =
        out.output.sin().sum_all() + out.states.iter().fold(Tensor::scalar(0f32), |sum, s| sum + s.square().sum_all());
    let params = scope.params();
    let mut wrt = vec![&input];
    wrt.extend(&params);
    let mut outputs = vec![out.output.clone()];
    outputs.extend(out.states);
    outputs.extend(gradients(&loss, &wrt));
    let device = Device::cpu();
    let program = Program::compile(&device, &outputs.iter().collect::<Vec<_>>(), &Updates::new()).unwrap();
    let mut state = State::init(&device, &program, 5).unwrap();
    let mut given = vec![("x", Data::from(x))];
    if let Some(lengths) = &lengths {
        given.push(("lengths", Data::from(&lengths[..])));
    }
    let mut got = program.run(&mut state, &given).map_err(|e| e.to_string())?;
    (0..outputs.len()).map(|i| got.f32(i).map_err(|e| e.to_string())).collect()
}

#[test]
fn padding_changes_nothing() {
    let x: Vec<f32> = (0..24).map(|i| (i as f32 * 0.7).sin()).collect();
    for cell in CELLS {
        // The second sequence has 2 steps: what stands in steps 2 and 3 must not matter, even if it is NaN.
        let mut other = x.clone();
        for t in 2..4 {
            other[t * 6 + 3..t * 6 + 6].fill(f32::NAN);
        }
        let (a, b) = (run(cell, &x, Some([4, 2])).unwrap(), run(cell, &other, Some([4, 2])).unwrap());
        assert_eq!(a, b, "{cell:?}");
        // The gradient of padding is 0, and so is the output there.
        let d_x = &a[1 + cell.states()];
        for t in 2..4 {
            assert!(d_x[t * 6 + 3..t * 6 + 6].iter().all(|&g| g == 0.0), "{cell:?} {d_x:?}");
            assert!(a[0][t * 8 + 4..t * 8 + 8].iter().all(|&y| y == 0.0), "{cell:?}");
        }
        assert!(d_x[..12].iter().all(|&g| g != 0.0 || cell == Cell::Relu), "{cell:?} {d_x:?}");
        // Full lengths are no lengths.
        assert_eq!(run(cell, &x, Some([4, 4])).unwrap(), run(cell, &x, None).unwrap(), "{cell:?}");
    }
}

#[test]
fn lengths_out_of_range_are_reported() {
    let x = [0.5; 24];
    let text = run(Cell::Gru, &x, Some([4, 9])).unwrap_err();
    assert!(text.contains("recurrent lengths"), "{text}");
    let nothing = run(Cell::Lstm, &x, Some([0, 4])).unwrap();
    assert!(nothing[0].chunks(8).all(|row| row[..4].iter().all(|&y| y == 0.0)));
}

#[test]
fn a_cell_is_a_sequence_of_one() {
    for cell in CELLS {
        let x = Tensor::full([2, 3], 0.4f32);
        let state: Vec<Tensor> = (0..cell.states()).map(|s| Tensor::full([2, 4], 0.3 + s as f32)).collect();
        let initial: Vec<Tensor> = state.iter().map(|s| s.unsqueeze(0)).collect();
        let (one, many) = (Scope::eval(), Scope::eval());
        let next = RecurrentCell::new(cell, 3, 4).forward(&one, &x, &state);
        let run = Recurrent::new(cell, 3, 4).run(&many, &x.unsqueeze(0), &initial, None);
        let names = |scope: &Scope| {
            let names = scope.params().into_iter().map(|p| p.name().unwrap().trim_end_matches("_l0").to_string());
            names.collect::<Vec<_>>()
        };
        assert_eq!(names(&one), names(&many));
        // Weights by those names are drawn apart, so both get the same.
        let same = |outputs: &[Tensor], scope: &Scope| {
            let device = Device::cpu();
            let program = Program::compile(&device, &outputs.iter().collect::<Vec<_>>(), &Updates::new()).unwrap();
            let mut s = State::init(&device, &program, 0).unwrap();
            for p in scope.params() {
                let n = p.count();
                s.set_f32(p.name().unwrap(), &(0..n).map(|i| (i as f32).cos() * 0.5).collect::<Vec<_>>()).unwrap();
            }
            let mut got = program.run(&mut s, &[]).unwrap();
            (0..outputs.len()).flat_map(|i| got.f32(i).unwrap()).collect::<Vec<_>>()
        };
        let (a, b) = (same(&next, &one), same(&run.states, &many));
        for (a, b) in a.iter().zip(&b) {
            assert!((a - b).abs() < 1e-6, "{cell:?}: {a} {b}");
        }
    }
}

#[test]
fn truncated_gradients_stop() {
    let x = Tensor::state("x", [6, 1], DType::F32, Init::Constant(1.0));
    let slopes = |truncate| {
        let (last, _) = scan(6, &[Tensor::zeros([1], DType::F32)], truncate, |t, s| {
            let next = &s[0] * 0.5 + x.slice(0, t..t + 1).reshape([1]);
            (vec![next.clone()], next)
        });
        let slope = gradients(&last[0], &[&x]).remove(0);
        let program = Program::compile(&Device::cpu(), &[&slope], &Updates::new()).unwrap();
        let mut state = State::init(&Device::cpu(), &program, 0).unwrap();
        program.run(&mut state, &[]).unwrap().f32(0).unwrap()
    };
    assert_eq!(slopes(None), [1.0 / 32.0, 1.0 / 16.0, 0.125, 0.25, 0.5, 1.0]);
    assert_eq!(slopes(Some(4)), [0.0, 0.0, 0.0, 0.0, 0.5, 1.0]);
}

/// f16 in, f16 out, and f32 in between: what is computed from the same numbers in f32, rounded once.
#[test]
fn half_precision_is_rounded_once() {
    let device = Device::cpu();
    let x: Vec<half::f16> = (0..24).map(|i| half::f16::from_f32((i as f32 * 0.7).sin())).collect();
    for cell in CELLS {
        let input = Tensor::input("x", [4, 2, 3], DType::F16);
        let scope = Scope::eval();
        let rnn = Recurrent::new(cell, 3, 2).layers(2);
        let (half, full) = (rnn.run(&scope, &input, &[], None), rnn.run(&scope, &input.cast(DType::F32), &[], None));
        assert_eq!((half.output.dtype(), half.states[0].dtype()), (DType::F16, DType::F16));
        let outputs = [&half.output, &half.states[0], &full.output, &full.states[0]];
        let program = Program::compile(&device, &outputs, &Updates::new()).unwrap();
        let mut state = State::init(&device, &program, 5).unwrap();
        let mut got = program.run(&mut state, &[("x", Data::from(&x))]).unwrap();
        for i in 0..2 {
            let (half, full) = (got.f32(i).unwrap(), got.f32(i + 2).unwrap());
            assert!(half.iter().any(|&v| v != 0.0));
            assert!(half.iter().zip(full).all(|(&h, f)| h == half::f16::from_f32(f).to_f32()), "{cell:?}");
        }
    }
}

#[test]
fn bad_arguments_are_named() {
    let x = Tensor::input("x", [4, 2, 3], DType::F32);
    let lengths = Tensor::input("lengths", [4], DType::U32);
    let scope = Scope::train().enter("rnn");
    let rnn = Recurrent::new(Cell::Lstm, 3, 5);
    let state = Tensor::zeros([1, 2, 5], DType::F32);
    let both = [state.clone(), state.clone()];
    type Build<'a> = &'a dyn Fn() -> Tensor;
    let cases: [(&str, Build); 8] = [
        ("floats [T, B, 4] expected, not f32 [4, 2, 3]", &|| Recurrent::new(Cell::Gru, 4, 5).forward(&scope, &x)),
        ("[B, T, 4]", &|| Recurrent::new(Cell::Gru, 4, 5).batch_first(true).forward(&scope, &x)),
        ("0 layers", &|| rnn.clone().layers(0).forward(&scope, &x)),
        ("lengths u32 [2] expected, not u32 [4]", &|| rnn.run(&scope, &x, &[], Some(&lengths)).output),
        ("lengths u32 [2] expected, not f32", &|| rnn.run(&scope, &x, &[], Some(&state)).output),
        ("Lstm has 2 tensors of state, but 1 are given", &|| rnn.run(&scope, &x, &both[..1], None).output),
        ("a state is f32 [1, 2, 5], not floats [2, 2, 5]", &|| {
            rnn.clone().bidirectional(true).run(&scope, &x, &both, None).output
        }),
        ("[B, 3] expected", &|| RecurrentCell::new(Cell::Tanh, 3, 5).forward(&scope, &x, &[]).remove(0)),
    ];
    for (what, build) in cases {
        let text = checked(build).unwrap_err().to_string();
        assert!(text.starts_with("Recurrent") && text.contains("\"rnn\"") && text.contains(what), "{text}");
        assert!(text.contains("tests.rs"), "{text}");
    }
    let one = |_: usize, s: &[Tensor]| (s.to_vec(), s[0].clone());
    for error in [
        checked(|| scan(0, &both, None, one)).err().unwrap(),
        checked(|| scan(3, &both, Some(0), one)).err().unwrap(),
        checked(|| scan(3, &both, None, |_, s| (s[..1].to_vec(), s[0].clone()))).err().unwrap(),
    ] {
        assert!(error.to_string().starts_with("scan: ") && error.to_string().contains("tests.rs"), "{error}");
    }
}

/// Each step costs the same few launches: nothing is quadratic in the length.
#[test]
fn launches_grow_linearly() {
    for cell in CELLS {
        let launches = |time: usize| {
            let x = Tensor::input("x", [time, 4, 8], DType::F32);
            let scope = Scope::train();
            let loss = Recurrent::new(cell, 8, 8).forward(&scope, &x).square().mean_all();
            let params = scope.params();
            let grads = gradients(&loss, &params.iter().collect::<Vec<_>>());
            let outputs: Vec<&Tensor> = grads.iter().chain([&loss]).collect();
            Program::compile(&Device::cpu(), &outputs, &Updates::new()).unwrap().summary().launches
        };
        let (short, middle, long) = (launches(20), launches(40), launches(60));
        // Two forwards, up to four backwards; more where a step has two products, or sums for peepholes.
        let most = if matches!(cell, Cell::GruResetBefore | Cell::PeepholeLstm) { 12 } else { 7 };
        assert!(long - middle <= middle - short + 2 && long - middle <= 20 * most, "{cell:?}: {short} {middle} {long}");
    }
}
