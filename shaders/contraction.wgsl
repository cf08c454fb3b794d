// C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n], for GPUs: tiles in workgroup memory.
//
// Layout: whatever the generated readers and writer say.
// Tile: a workgroup of THREADS_M x THREADS_N = 256 invocations computes TILE_M x TILE_N elements of C in steps of DEPTH
// along k. An invocation has GROUPS_M x GROUPS_N blocks of 4 x 4 elements; its blocks lie TILE_M / GROUPS_M rows and
// TILE_N / GROUPS_N columns apart, so that neighbouring invocations read neighbouring columns of workgroup memory.
// Tiles of A and B are kept k-major. Workgroup memory, at most 16 KiB: DEPTH * (TILE_M + TILE_N) floats, and the
// parts of positions that depend on k alone, which a few invocations compute for all.
// Bindings: 0 params; then A, B, the epilogue's inputs, and C (or the partial sums), all in the preamble.
//
// The preamble defines
//   THREADS_M, THREADS_N, GROUPS_M, GROUPS_N, DEPTH   the tile
//   A_ALONG_K, B_ALONG_K         whether neighbouring elements of A (B) differ in k, so that lanes read along k
//   Tile, tile_at                what a workgroup has to do
//   row_count, col_count         the extents of C
//   Batch, Row, Col, Inner       sub-axis coordinates, from batch_at, row_at, col_at, inner_at
//   APart, a_line, a_step, a_at  reads A: the part of the position that depends on (b, m), that on k, and both together
//   BPart, b_line, b_step, b_at  the same for B, with (b, n)
//   store                        writes a sum

const LANES: u32 = 256u;
const TILE_M: u32 = THREADS_M * GROUPS_M * 4u;
const TILE_N: u32 = THREADS_N * GROUPS_N * 4u;
// Elements of a tile that each invocation loads; of a tile with fewer elements than lanes, some load one.
const LOADS_A: u32 = (TILE_M * DEPTH + LANES - 1u) / LANES;
const LOADS_B: u32 = (TILE_N * DEPTH + LANES - 1u) / LANES;

var<workgroup> tile_a: array<f32, TILE_M * DEPTH>;
var<workgroup> tile_b: array<f32, TILE_N * DEPTH>;
var<workgroup> steps_a: array<APart, DEPTH>;
var<workgroup> steps_b: array<BPart, DEPTH>;

// Where an invocation's load number `i` goes in a tile of `size` lines: x is the line (row of A, column of B), y is k.
fn place(lane: u32, i: u32, size: u32, along_k: bool) -> vec2<u32> {
    let element = lane + LANES * i;
    if (along_k) {
        return vec2<u32>(element / DEPTH, element % DEPTH);
    }
    return vec2<u32>(element % size, element / size);
}

// Computes the k-dependent parts for the step that begins at `k`.
fn prepare_step(lane: u32, k: u32) {
    if (lane < DEPTH) {
        let inner = inner_at(k + lane);
        steps_a[lane] = a_step(inner);
        steps_b[lane] = b_step(inner);
    }
}

@compute @workgroup_size(LANES)
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
    var lines_a: array<APart, LOADS_A>;
    for (var i = 0u; i < LOADS_A; i += 1u) {
        lines_a[i] = a_line(batch, row_at(min(tile.row + place(lane, i, TILE_M, A_ALONG_K).x, last_row)));
    }
    var lines_b: array<BPart, LOADS_B>;
    for (var i = 0u; i < LOADS_B; i += 1u) {
        lines_b[i] = b_line(batch, col_at(min(tile.col + place(lane, i, TILE_N, B_ALONG_K).x, last_col)));
    }

    let row = (lane / THREADS_N) * 4u;
    let col = (lane % THREADS_N) * 4u;
    // Row r of row block p, column block q: sums[(p * 4 + r) * GROUPS_N + q].
    var sums: array<vec4<f32>, 4u * GROUPS_M * GROUPS_N>;
    prepare_step(lane, tile.begin);
    workgroupBarrier();
    for (var k = tile.begin; k < tile.end; k += DEPTH) {
        for (var i = 0u; i < LOADS_A; i += 1u) {
            let at = place(lane, i, TILE_M, A_ALONG_K);
            if (at.x < TILE_M && at.y < DEPTH) {
                var x = 0.0;
                if (k + at.y < tile.end) {
                    x = a_at(lines_a[i], steps_a[at.y]);
                }
                tile_a[at.y * TILE_M + at.x] = x;
            }
        }
        for (var i = 0u; i < LOADS_B; i += 1u) {
            let at = place(lane, i, TILE_N, B_ALONG_K);
            if (at.x < TILE_N && at.y < DEPTH) {
                var x = 0.0;
                if (k + at.y < tile.end) {
                    x = b_at(lines_b[i], steps_b[at.y]);
                }
                tile_b[at.y * TILE_N + at.x] = x;
            }
        }
        workgroupBarrier();
        // Nobody reads the steps until the next barrier.
        prepare_step(lane, k + DEPTH);
        for (var d = 0u; d < DEPTH; d += 1u) {
            var y: array<vec4<f32>, GROUPS_N>;
            for (var q = 0u; q < GROUPS_N; q += 1u) {
                let at = d * TILE_N + q * THREADS_N * 4u + col;
                y[q] = vec4<f32>(tile_b[at], tile_b[at + 1u], tile_b[at + 2u], tile_b[at + 3u]);
            }
            for (var p = 0u; p < GROUPS_M; p += 1u) {
                let at = d * TILE_M + p * THREADS_M * 4u + row;
                let x = vec4<f32>(tile_a[at], tile_a[at + 1u], tile_a[at + 2u], tile_a[at + 3u]);
                let base = p * 4u * GROUPS_N;
                for (var q = 0u; q < GROUPS_N; q += 1u) {
                    sums[base + q] += x.x * y[q];
                    sums[base + GROUPS_N + q] += x.y * y[q];
                    sums[base + 2u * GROUPS_N + q] += x.z * y[q];
                    sums[base + 3u * GROUPS_N + q] += x.w * y[q];
                }
            }
        }
        workgroupBarrier();
    }

    for (var p = 0u; p < GROUPS_M; p += 1u) {
        for (var r = 0u; r < 4u; r += 1u) {
            let m = tile.row + p * THREADS_M * 4u + row + r;
            if (m > last_row) {
                continue;
            }
            let coords = row_at(m);
            for (var q = 0u; q < GROUPS_N; q += 1u) {
                let four = sums[(p * 4u + r) * GROUPS_N + q];
                for (var c = 0u; c < 4u; c += 1u) {
                    let n = tile.col + q * THREADS_N * 4u + col + c;
                    if (n <= last_col) {
                        store(tile, m, n, batch, coords, col_at(n), four[c]);
                    }
                }
            }
        }
    }
}
