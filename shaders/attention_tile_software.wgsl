// Tiles of scores for GPUs run by a CPU (lavapipe, WARP): 8 lanes of 4 own rows, 16 others, all in registers. Others are
// read at addresses that all lanes share. No workgroup memory, no barriers. Stands between attention.wgsl and a kernel.
//
// The kernel defines
//   own_element, other_element             elements of the operands of a product (the second: of values)
//   own_base, own_step, other_base, other_step   where their rows lie

const OWN: u32 = 32u;
const OTHER: u32 = 16u;
const FOUR: vec4<u32> = vec4<u32>(0u, 1u, 2u, 3u);

// Columns are others.
struct Tile {
    a: mat4x4<f32>,
    b: mat4x4<f32>,
    c: mat4x4<f32>,
    d: mat4x4<f32>,
}

// Where rows begin in memory: of the invocation's own, and of the others.
struct Places {
    own: vec4<u32>,
    a: vec4<u32>,
    b: vec4<u32>,
    c: vec4<u32>,
    d: vec4<u32>,
}

// Rows past the end are the last one; what comes of them is not used.
fn places(second: bool, head: Head, own: vec4<u32>, own_count: u32, other: u32, count: u32) -> Places {
    let last = vec4<u32>(count - 1u);
    let base = other_base(second, head);
    let step = other_step(second);
    return Places(
        own_base(second, head) + min(own, vec4<u32>(own_count - 1u)) * own_step(second),
        base + min(other + FOUR, last) * step,
        base + min(other + 4u + FOUR, last) * step,
        base + min(other + 8u + FOUR, last) * step,
        base + min(other + 12u + FOUR, last) * step,
    );
}

fn own4(second: bool, at: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(
        own_element(second, at.x), own_element(second, at.y), own_element(second, at.z), own_element(second, at.w)
    );
}

fn other4(second: bool, at: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(
        other_element(second, at.x), other_element(second, at.y), other_element(second, at.z), other_element(second, at.w)
    );
}

// Products of rows of `size` elements.
fn product(second: bool, size: u32, at: Places) -> Tile {
    var sums: Tile;
    for (var n = 0u; n < size; n += 1u) {
        let x = own4(second, at.own + n);
        sums.a = add_outer(sums.a, x, other4(second, at.a + n));
        sums.b = add_outer(sums.b, x, other4(second, at.b + n));
        sums.c = add_outer(sums.c, x, other4(second, at.c + n));
        sums.d = add_outer(sums.d, x, other4(second, at.d + n));
    }
    return sums;
}

// Element n of the sums of the others' rows, weighted.
fn weighted(second: bool, t: Tile, at: Places, n: u32) -> vec4<f32> {
    return t.a * other4(second, at.a + n) + t.b * other4(second, at.b + n)
        + t.c * other4(second, at.c + n) + t.d * other4(second, at.d + n);
}

// Columns in memory, for loops: so that what is done to each stands in the code once, and not sixteen times.
fn columns(t: Tile) -> array<vec4<f32>, OTHER> {
    return array<vec4<f32>, OTHER>(
        t.a[0], t.a[1], t.a[2], t.a[3], t.b[0], t.b[1], t.b[2], t.b[3],
        t.c[0], t.c[1], t.c[2], t.c[3], t.d[0], t.d[1], t.d[2], t.d[3],
    );
}

fn tile_of(c: array<vec4<f32>, OTHER>) -> Tile {
    return Tile(
        mat4x4<f32>(c[0], c[1], c[2], c[3]), mat4x4<f32>(c[4], c[5], c[6], c[7]),
        mat4x4<f32>(c[8], c[9], c[10], c[11]), mat4x4<f32>(c[12], c[13], c[14], c[15]),
    );
}

// Four elements of the output, one of each own row.
fn load_out(at: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(out[at.x], out[at.y], out[at.z], out[at.w]);
}

fn store_out(at: vec4<u32>, inside: vec4<bool>, x: vec4<f32>) {
    if (inside.x) { out[at.x] = x.x; }
    if (inside.y) { out[at.y] = x.y; }
    if (inside.z) { out[at.z] = x.z; }
    if (inside.w) { out[at.w] = x.w; }
}
