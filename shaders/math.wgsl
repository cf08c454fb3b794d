// Functions that generated kernels call. Put before every shader; nothing here is an entry point.
//
// Layout, bindings, names filled in by the host: none.

// The high 32 bits of a product, from 16-bit halves (WGSL has no 64-bit integers).
fn multiply_high(a: u32, b: u32) -> u32 {
    let a0 = a & 0xffffu;
    let a1 = a >> 16u;
    let b0 = b & 0xffffu;
    let b1 = b >> 16u;
    let low = a1 * b0 + ((a0 * b0) >> 16u);
    let mid = a0 * b1 + (low & 0xffffu);
    return a1 * b1 + (low >> 16u) + (mid >> 16u);
}

// a / n for a < 2^21, by a multiplication and a shift that the host found for n: by (high * 2^11 + low) >> (shift + 11).
// Neither product overflows. Integer division is slow on every kind of adapter.
fn divide_small(a: u32, high: u32, low: u32, shift: u32) -> u32 {
    return (a * high + ((a * low) >> 11u)) >> shift;
}

// a / n for a < 2^31 and n >= 2, by a multiplication and a shift that the host found for n.
fn divide_wide(a: u32, factor: u32, shift: u32) -> u32 {
    return multiply_high(a, factor) >> shift;
}

// Philox4x32-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. `rounds` is 10; as a parameter, since a
// compiler writes out a loop of known length, and takes three times as long for it.
fn philox(k0: u32, k1: u32, c0: u32, c1: u32, c2: u32, rounds: u32) -> vec4<u32> {
    var key = vec2<u32>(k0, k1);
    var c = vec4<u32>(c0, c1, c2, 0u);
    for (var round = 0u; round < rounds; round += 1u) {
        let high0 = multiply_high(0xD2511F53u, c.x);
        let high1 = multiply_high(0xCD9E8D57u, c.z);
        c = vec4<u32>(high1 ^ c.y ^ key.x, 0xCD9E8D57u * c.z, high0 ^ c.w ^ key.y, 0xD2511F53u * c.x);
        key += vec2<u32>(0x9E3779B9u, 0xBB67AE85u);
    }
    return c;
}

// NaN and infinity are found by their bits: an implementation may assume that floats are never NaN.
fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// Toward zero; saturates; NaN gives 0.
fn to_i32(x: f32) -> i32 {
    let inside = i32(clamp(x, -2147483648.0, 2147483520.0));
    return select(select(inside, 2147483647i, x >= 2147483648.0), 0i, is_nan(x));
}

// Toward zero; saturates; NaN gives 0.
fn to_u32(x: f32) -> u32 {
    let inside = u32(clamp(x, 0.0, 4294967040.0));
    return select(select(inside, 4294967295u, x >= 4294967296.0), 0u, is_nan(x));
}

// To the nearest f16, halves to even. By the bits: drivers drop a conversion to f16 and back, or flush what is tiny.
fn round_to_half(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    let size = bits & 0x7fffffffu;
    let shortened = (bits + 0xfffu + ((bits >> 13u) & 1u)) & 0xffffe000u;
    let normal = bitcast<f32>(select(shortened, (bits & 0x80000000u) | 0x7f800000u, size >= 0x477ff000u));
    let tiny = round(x * 16777216.0) / 16777216.0;
    return select(select(normal, tiny, size < 0x38800000u), x, size > 0x7f800000u);
}

// The series of tanh, for |x| < 0.25.
fn tanh_near(x: f32) -> f32 {
    let s = x * x;
    return x * (1.0 + s * (-0.33333333 + s * (0.13333333 + s * (-0.053968254 + s * 0.021869488))));
}

// tanh by exp of a negative number, which cannot overflow, and by its series near 0, where that would cancel.
fn tanh_safe(x: f32) -> f32 {
    let e = exp(-2.0 * min(abs(x), 15.0));
    let far = sign(x) * (1.0 - e) / (1.0 + e);
    return select(far, tanh_near(x), abs(x) < 0.25);
}

// e^x - 1, near 0 as 2 t / (1 - t) with t = tanh(x / 2), since the difference would cancel.
fn expm1(x: f32) -> f32 {
    let t = tanh_near(x * 0.5);
    return select(exp(x) - 1.0, 2.0 * t / (1.0 - t), abs(x) < 0.5);
}

// log(1 + x), near 0 as 2 atanh(x / (2 + x)) by its series.
fn log1p(x: f32) -> f32 {
    let t = x / (2.0 + x);
    let s = t * t;
    let p = 0.33333333 + s * (0.2 + s * (0.14285714 + s * (0.11111111 + s * 0.09090909)));
    return select(log(1.0 + x), 2.0 * t * (1.0 + s * p), abs(x) < 0.4);
}

// By a polynomial within [-1, 1], and by pi/2 - atan(1 / x) outside (WGSL's own may be off by 4096 units).
fn arc_tangent(x: f32) -> f32 {
    let size = abs(x);
    let a = select(size, 1.0 / size, size > 1.0);
    let s = a * a;
    var p = 0.0027856983;
    p = p * s - 0.015866023;
    p = p * s + 0.042472232;
    p = p * s - 0.074975304;
    p = p * s + 0.1064488;
    p = p * s - 0.14207031;
    p = p * s + 0.19993454;
    p = p * s - 0.33333147;
    let near = p * s * a + a;
    return sign(x) * select(near, 1.5707963 - near, size > 1.0);
}

// The error function: a polynomial near 0, else 1 less e to the power of one. Both are minimax fits.
fn erf(x: f32) -> f32 {
    let s = x * x;
    var near = -0.0005967617;
    near = near * s + 0.004991194;
    near = near * s - 0.026768135;
    near = near * s + 0.112819925;
    near = near * s - 0.37612534;
    near = near * s + 0.12837917;
    let t = min(abs(x), 10.0);
    var far = (-0.000017285347 * t + 0.0003831972) * (t * t) + (-0.003883964 * t + 0.024254622);
    far = far * t - 0.10677788;
    far = far * t - 0.6348467;
    far = far * t - 0.12871751;
    return select(sign(x) * (1.0 - exp(far * t - t)), near * x + x, abs(x) < 0.9277344);
}

// Giles, "Approximating the erfinv function", GPU Computing Gems, 2011. Infinite at -1 and 1.
fn erfinv(x: f32) -> f32 {
    let w = -log((1.0 - x) * (1.0 + x));
    let c = w - 2.5;
    var centre = 2.8102264e-8;
    centre = centre * c + 3.4327394e-7;
    centre = centre * c - 0.0000035233877;
    centre = centre * c - 0.0000043915065;
    centre = centre * c + 0.00021858087;
    centre = centre * c - 0.001253725;
    centre = centre * c - 0.0041776816;
    centre = centre * c + 0.24664073;
    centre = centre * c + 1.5014094;
    let t = sqrt(w) - 3.0;
    var tail = -0.00020021426;
    tail = tail * t + 0.00010095056;
    tail = tail * t + 0.0013493432;
    tail = tail * t - 0.0036734284;
    tail = tail * t + 0.005739508;
    tail = tail * t - 0.007622461;
    tail = tail * t + 0.0094388705;
    tail = tail * t + 1.0016741;
    tail = tail * t + 2.8329768;
    let inside = x * select(tail, centre, w < 5.0);
    return select(inside, x * 3.0e38 * 10.0, abs(x) == 1.0);
}

// The argument less the nearest multiple of two pi, in two steps, the first exact: sin and cos are good near 0 only.
fn within_turn(x: f32) -> f32 {
    let turns = round(x * 0.15915494);
    return (x - turns * 6.28125) - turns * 0.0019353072;
}

// As Rust's powf: a negative base has a power for integer exponents only, else the result is `nan`.
fn power(base: f32, exponent: f32, nan: f32) -> f32 {
    let size = pow(abs(base), exponent);
    let whole = floor(exponent) == exponent;
    let odd = floor(exponent * 0.5) * 2.0 != exponent;
    let of_negative = select(nan, select(size, -size, odd), whole);
    let of_zero = select(0.0, 1.0 / abs(base), exponent < 0.0);
    let result = select(select(size, of_negative, base < 0.0), of_zero, base == 0.0);
    return select(result, 1.0, exponent == 0.0);
}

// The sign of the dividend, as Rust's %. A quotient that was rounded up to the next integer is one too many.
fn remainder(a: f32, b: f32) -> f32 {
    let r = a - b * trunc(a / b);
    let over = (r < 0.0) != (a < 0.0) && r != 0.0;
    return select(r, r + select(-abs(b), abs(b), a > 0.0), over);
}
