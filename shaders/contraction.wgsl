// C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n], for GPUs: tiles in workgroup memory.
//
// Layout: whatever the generated readers and writer say.
// Tile: a workgroup of THREADS_M x THREADS_N invocations computes TILE_M x TILE_N elements of C in steps of DEPTH along k.
// An invocation has GROUPS_M x GROUPS_N (each 1 or 2) blocks of 4 x 4 elements; its blocks lie TILE_M / GROUPS_M rows and
// TILE_N / GROUPS_N columns apart, so that neighbouring invocations read neighbouring columns of workgroup memory.
// Tiles of A and B are kept k-major in fours, each row with one four more, so that lanes which write along k meet in fewer
// banks. Workgroup memory, at most 16 KiB: DEPTH * (TILE_M + TILE_N + 8) floats, and the parts of positions that depend on
// k alone, which a few invocations compute for all. Sums stay in registers: nothing indexes them at a variable place.
// Bindings: 0 params; then A, B, the epilogue's inputs, and C (or the partial sums), all in the preamble.
//
// The preamble, with contraction_load.wgsl at its end, defines
//   THREADS_M, THREADS_N, GROUPS_M, GROUPS_N, DEPTH   the tile; DEPTH is a multiple of 4
//   A_ALONG_K, B_ALONG_K         whether neighbouring elements of A (B) differ in k, so that lanes read along k
//   A_FOURS, B_FOURS             whether four neighbours lie together and begin at a multiple of four: a_four, b_four
//   Tile, tile_at                what a workgroup has to do
//   row_count, col_count         the extents of C
//   Batch, Row, Col, Inner       sub-axis coordinates, from batch_at, row_at, col_at, inner_at
//   APart, a_line, a_step, a_at  reads A: the part of the position that depends on (b, m), that on k, and both together
//   BPart, b_line, b_step, b_at  the same for B, with (b, n)
//   store                        writes a sum

const LANES: u32 = THREADS_M * THREADS_N;
const TILE_M: u32 = THREADS_M * GROUPS_M * 4u;
const TILE_N: u32 = THREADS_N * GROUPS_N * 4u;
const STRIDE_A: u32 = TILE_M / 4u + 1u;
const STRIDE_B: u32 = TILE_N / 4u + 1u;

var<workgroup> tile_a: array<vec4<f32>, STRIDE_A * DEPTH>;
var<workgroup> tile_b: array<vec4<f32>, STRIDE_B * DEPTH>;

// The sums of an invocation: block (p, q), a column of the matrix for each row of the block.
struct Sums {
    s00: mat4x4<f32>,
    s01: mat4x4<f32>,
    s10: mat4x4<f32>,
    s11: mat4x4<f32>,
}

fn add_outer(s: mat4x4<f32>, x: vec4<f32>, y: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(s[0] + x.x * y, s[1] + x.y * y, s[2] + x.z * y, s[3] + x.w * y);
}

// Adds the products of step `d` of a tile: rows and columns counted in fours.
fn multiply(d: u32, row: u32, col: u32, s: ptr<function, Sums>) {
    let x = tile_a[d * STRIDE_A + row];
    let y = tile_b[d * STRIDE_B + col];
    (*s).s00 = add_outer((*s).s00, x, y);
    if (GROUPS_N == 2u) {
        let y1 = tile_b[d * STRIDE_B + THREADS_N + col];
        (*s).s01 = add_outer((*s).s01, x, y1);
        if (GROUPS_M == 2u) {
            let x1 = tile_a[d * STRIDE_A + THREADS_M + row];
            (*s).s11 = add_outer((*s).s11, x1, y1);
        }
    }
    if (GROUPS_M == 2u) {
        let x1 = tile_a[d * STRIDE_A + THREADS_M + row];
        (*s).s10 = add_outer((*s).s10, x1, y);
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

    var lines_a: LinesA;
    var lines_b: LinesB;
    find_lines(tile, batch, lane, &lines_a, &lines_b);

    let row = lane / THREADS_N;
    let col = lane % THREADS_N;
    var sums: Sums;
    prepare_step(lane, tile.begin);
    workgroupBarrier();
    for (var k = tile.begin; k < tile.end; k += DEPTH) {
        for (var i = 0u; i < LOADS_A; i += 1u) {
            let at = place(lane, i, TILE_M, A_ALONG_K);
            if (at.x < TILE_M && at.y < DEPTH) {
                let x = load_a(&lines_a, i, at.y, k, tile.end);
                if (A_ALONG_K) {
                    for (var c = 0u; c < 4u; c += 1u) {
                        tile_a[(at.y + c) * STRIDE_A + at.x / 4u][at.x % 4u] = x[c];
                    }
                } else {
                    tile_a[at.y * STRIDE_A + at.x / 4u] = x;
                }
            }
        }
        for (var i = 0u; i < LOADS_B; i += 1u) {
            let at = place(lane, i, TILE_N, B_ALONG_K);
            if (at.x < TILE_N && at.y < DEPTH) {
                let x = load_b(&lines_b, i, at.y, k, tile.end);
                if (B_ALONG_K) {
                    for (var c = 0u; c < 4u; c += 1u) {
                        tile_b[(at.y + c) * STRIDE_B + at.x / 4u][at.x % 4u] = x[c];
                    }
                } else {
                    tile_b[at.y * STRIDE_B + at.x / 4u] = x;
                }
            }
        }
        workgroupBarrier();
        // Nobody reads the steps until the next barrier.
        prepare_step(lane, k + DEPTH);
        for (var d = 0u; d < DEPTH; d += 4u) {
            multiply(d, row, col, &sums);
            multiply(d + 1u, row, col, &sums);
            multiply(d + 2u, row, col, &sums);
            multiply(d + 3u, row, col, &sums);
        }
        workgroupBarrier();
    }

    // A copy for the loops that store: they index it.
    var rows: array<mat4x4<f32>, 4>;
    rows[0] = sums.s00;
    rows[1] = sums.s01;
    rows[2] = sums.s10;
    rows[3] = sums.s11;
    for (var p = 0u; p < GROUPS_M; p += 1u) {
        for (var r = 0u; r < 4u; r += 1u) {
            let m = tile.row + (p * THREADS_M + row) * 4u + r;
            if (m > last_row) {
                continue;
            }
            let coords = row_at(m);
            for (var q = 0u; q < GROUPS_N; q += 1u) {
                let four = rows[2u * p + q][r];
                for (var c = 0u; c < 4u; c += 1u) {
                    let n = tile.col + (q * THREADS_N + col) * 4u + c;
                    if (n <= last_col) {
                        store(tile, m, n, batch, coords, col_at(n), four[c]);
                    }
                }
            }
        }
    }
}
