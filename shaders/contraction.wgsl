// C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n], for GPUs: tiles in workgroup memory.
//
// Layout: whatever the generated readers and writer say.
// Tile: a workgroup of 16 x 16 invocations computes 64 x 64 elements of C, each invocation 4 x 4 of them, in steps of 16
// along k. Tiles of A and B are kept k-major: 2 * 16 * 64 floats = 8 KiB.
// Bindings: 0 params; then A, B, the epilogue's inputs, and C (or the partial sums), all in the preamble.
//
// The preamble defines
//   A_ALONG_K, B_ALONG_K         whether neighbouring elements of A (B) differ in k, so that lanes read along k
//   Tile, tile_at                what a workgroup has to do
//   row_count, col_count         the extents of C
//   Batch, Row, Col, Inner       sub-axis coordinates, from batch_at, row_at, col_at, inner_at
//   APart, a_line, a_step, a_at  reads A: the part of the position that depends on (b, m), that on k, and both together
//   BPart, b_line, b_step, b_at  the same for B, with (b, n)
//   store                        writes a sum

const TILE: u32 = 64u;
const DEPTH: u32 = 16u;

var<workgroup> tile_a: array<f32, 1024>;
var<workgroup> tile_b: array<f32, 1024>;

// Where an invocation's load number `i` (of 4) goes: x is the line (row of A or column of B), y is k.
fn place(lane: u32, i: u32, along_k: bool) -> vec2<u32> {
    if (along_k) {
        return vec2<u32>(lane / DEPTH + DEPTH * i, lane % DEPTH);
    }
    return vec2<u32>(lane % TILE, lane / TILE + 4u * i);
}

fn load_a(line: APart, at: vec2<u32>, k: u32, end: u32) {
    var x = 0.0;
    if (k + at.y < end) {
        x = a_at(line, a_step(inner_at(k + at.y)));
    }
    tile_a[at.y * TILE + at.x] = x;
}

fn load_b(line: BPart, at: vec2<u32>, k: u32, end: u32) {
    var x = 0.0;
    if (k + at.y < end) {
        x = b_at(line, b_step(inner_at(k + at.y)));
    }
    tile_b[at.y * TILE + at.x] = x;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = tile_at(group.y * groups.x + group.x);
    if (!tile.inside) {
        return;
    }
    let batch = batch_at(tile.batch);
    let last_row = row_count() - 1u;
    let last_col = col_count() - 1u;

    // Lines past the edge repeat the last one; what comes of them is not stored.
    let at_a0 = place(lane, 0u, A_ALONG_K);
    let at_a1 = place(lane, 1u, A_ALONG_K);
    let at_a2 = place(lane, 2u, A_ALONG_K);
    let at_a3 = place(lane, 3u, A_ALONG_K);
    let a0 = a_line(batch, row_at(min(tile.row + at_a0.x, last_row)));
    let a1 = a_line(batch, row_at(min(tile.row + at_a1.x, last_row)));
    let a2 = a_line(batch, row_at(min(tile.row + at_a2.x, last_row)));
    let a3 = a_line(batch, row_at(min(tile.row + at_a3.x, last_row)));
    let at_b0 = place(lane, 0u, B_ALONG_K);
    let at_b1 = place(lane, 1u, B_ALONG_K);
    let at_b2 = place(lane, 2u, B_ALONG_K);
    let at_b3 = place(lane, 3u, B_ALONG_K);
    let b0 = b_line(batch, col_at(min(tile.col + at_b0.x, last_col)));
    let b1 = b_line(batch, col_at(min(tile.col + at_b1.x, last_col)));
    let b2 = b_line(batch, col_at(min(tile.col + at_b2.x, last_col)));
    let b3 = b_line(batch, col_at(min(tile.col + at_b3.x, last_col)));

    let row = (lane / 16u) * 4u;
    let col = (lane % 16u) * 4u;
    var sum0 = vec4<f32>();
    var sum1 = vec4<f32>();
    var sum2 = vec4<f32>();
    var sum3 = vec4<f32>();
    for (var k = tile.begin; k < tile.end; k += DEPTH) {
        load_a(a0, at_a0, k, tile.end);
        load_a(a1, at_a1, k, tile.end);
        load_a(a2, at_a2, k, tile.end);
        load_a(a3, at_a3, k, tile.end);
        load_b(b0, at_b0, k, tile.end);
        load_b(b1, at_b1, k, tile.end);
        load_b(b2, at_b2, k, tile.end);
        load_b(b3, at_b3, k, tile.end);
        workgroupBarrier();
        for (var d = 0u; d < DEPTH; d += 1u) {
            let p = d * TILE + row;
            let q = d * TILE + col;
            let x = vec4<f32>(tile_a[p], tile_a[p + 1u], tile_a[p + 2u], tile_a[p + 3u]);
            let y = vec4<f32>(tile_b[q], tile_b[q + 1u], tile_b[q + 2u], tile_b[q + 3u]);
            sum0 += x.x * y;
            sum1 += x.y * y;
            sum2 += x.z * y;
            sum3 += x.w * y;
        }
        workgroupBarrier();
    }

    for (var r = 0u; r < 4u; r += 1u) {
        let m = tile.row + row + r;
        if (m <= last_row) {
            let coords = row_at(m);
            var sums = sum0;
            if (r == 1u) {
                sums = sum1;
            }
            if (r == 2u) {
                sums = sum2;
            }
            if (r == 3u) {
                sums = sum3;
            }
            for (var c = 0u; c < 4u; c += 1u) {
                let n = tile.col + col + c;
                if (n <= last_col) {
                    store(tile, m, n, batch, coords, col_at(n), sums[c]);
                }
            }
        }
    }
}
