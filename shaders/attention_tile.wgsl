// Tiles of scores for GPUs: 64 rows of the workgroup's own (queries, or keys) by 32 others, 4 x 4 for each of the 128
// invocations. Stands between attention.wgsl and a kernel.
//
// The kernel defines
//   own_element, other_element             elements of the operands of a product (the second: of values)
//   own_base, own_step, other_base, other_step   where their rows lie

const LANES: u32 = 128u;
const OWN: u32 = 64u;
const OTHER: u32 = 32u;
// Invocations along the others.
const ACROSS: u32 = 8u;
// Step of a product along its sum, and the lengths of a step's lines: more than the tile, so that lanes that store
// neighbours along the sum meet different banks.
const DEPTH: u32 = 16u;
const OWN_LINE: u32 = 68u;
const OTHER_LINE: u32 = 36u;

var<workgroup> left_tile: array<f32, DEPTH * OWN_LINE>;
var<workgroup> right_tile: array<f32, DEPTH * OTHER_LINE>;
// Weights: [other][own].
var<workgroup> weight_tile: array<f32, OTHER * OWN>;

fn left4(at: u32) -> vec4<f32> {
    return vec4<f32>(left_tile[at], left_tile[at + 1u], left_tile[at + 2u], left_tile[at + 3u]);
}

fn right4(at: u32) -> vec4<f32> {
    return vec4<f32>(right_tile[at], right_tile[at + 1u], right_tile[at + 2u], right_tile[at + 3u]);
}

// Products of rows of `size` elements: columns are others. There are own_count and other_count rows of each, and what lies past
// them is never read.
fn product(
    lane: u32,
    second: bool,
    size: u32,
    head: Head,
    own: u32,
    own_count: u32,
    other: u32,
    other_count: u32,
) -> mat4x4<f32> {
    let own_from = own_base(second, head);
    let other_from = other_base(second, head);
    var sums = mat4x4<f32>();
    let own_at = lane / ACROSS * 4u;
    let other_at = lane % ACROSS * 4u;
    for (var d = 0u; d < size; d += DEPTH) {
        workgroupBarrier();
        for (var n = lane; n < DEPTH * OWN; n += LANES) {
            let column = d + n % DEPTH;
            let line = n / DEPTH;
            var x = 0.0;
            if (column < size && own + line < own_count) {
                x = own_element(second, own_from + (own + line) * own_step(second) + column);
            }
            left_tile[n % DEPTH * OWN_LINE + line] = x;
        }
        for (var n = lane; n < DEPTH * OTHER; n += LANES) {
            let column = d + n % DEPTH;
            let line = n / DEPTH;
            var x = 0.0;
            if (column < size && other + line < other_count) {
                x = other_element(second, other_from + (other + line) * other_step(second) + column);
            }
            right_tile[n % DEPTH * OTHER_LINE + line] = x;
        }
        workgroupBarrier();
        for (var n = 0u; n < DEPTH; n += 1u) {
            sums = add_outer(sums, left4(n * OWN_LINE + own_at), right4(n * OTHER_LINE + other_at));
        }
    }
    return sums;
}

// Gives a value for each of the invocation's rows to the others of the row, in the memory of the right tile.
fn share(lane: u32, x: vec4<f32>) {
    let at = lane % ACROSS * OWN + lane / ACROSS * 4u;
    right_tile[at] = x.x;
    right_tile[at + 1u] = x.y;
    right_tile[at + 2u] = x.z;
    right_tile[at + 3u] = x.w;
}

fn shared_by(lane: u32, across: u32) -> vec4<f32> {
    return right4(across * OWN + lane / ACROSS * 4u);
}

// Stores a tile for `gather`; barriers are the caller's.
fn keep_tile(lane: u32, s: mat4x4<f32>) {
    for (var c = 0u; c < 4u; c += 1u) {
        let at = (lane % ACROSS * 4u + c) * OWN + lane / ACROSS * 4u;
        weight_tile[at] = s[c].x;
        weight_tile[at + 1u] = s[c].y;
        weight_tile[at + 2u] = s[c].z;
        weight_tile[at + 3u] = s[c].w;
    }
}

// Adds the product of the stored tile and the left tile, seen as [other][32 columns].
fn gather(lane: u32, start: mat4x4<f32>) -> mat4x4<f32> {
    var sums = start;
    for (var n = 0u; n < OTHER; n += 1u) {
        let at = n * OWN + lane / ACROSS * 4u;
        let x = vec4<f32>(weight_tile[at], weight_tile[at + 1u], weight_tile[at + 2u], weight_tile[at + 3u]);
        sums = add_outer(sums, x, left4(n * 32u + lane % ACROSS * 4u));
    }
    return sums;
}
