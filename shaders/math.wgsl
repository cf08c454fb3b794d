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

// a / n for a < 2^21, given the bits of the float 1 / n. Integer division is slow on every kind of adapter.
fn divide_small(a: u32, inverse: u32) -> u32 {
    return u32(i32((f32(i32(a)) + 0.5) * bitcast<f32>(inverse)));
}

// a / n for a < 2^31 and n >= 2, by a multiplication and a shift that the host found for n.
fn divide_wide(a: u32, factor: u32, shift: u32) -> u32 {
    return multiply_high(a, factor) >> shift;
}

// Philox4x32-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
fn philox(k0: u32, k1: u32, c0: u32, c1: u32, c2: u32) -> vec4<u32> {
    var key = vec2<u32>(k0, k1);
    var c = vec4<u32>(c0, c1, c2, 0u);
    for (var round = 0u; round < 10u; round += 1u) {
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

// tanh by exp of a negative number, which cannot overflow, and by its series near 0, where that would cancel.
fn tanh_safe(x: f32) -> f32 {
    let e = exp(-2.0 * min(abs(x), 15.0));
    let far = sign(x) * (1.0 - e) / (1.0 + e);
    let s = x * x;
    let near = x * (1.0 + s * (-0.33333333 + s * (0.13333333 + s * (-0.053968254 + s * 0.021869488))));
    return select(far, near, abs(x) < 0.25);
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

// The sign of the dividend, as Rust's %.
fn remainder(a: f32, b: f32) -> f32 {
    return a - b * trunc(a / b);
}
