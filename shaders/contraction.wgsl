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
// The preamble defines
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
// Fours of a tile that each invocation loads; of a tile with fewer than lanes, some load one.
const FOURS_A: u32 = TILE_M * DEPTH / 4u;
const FOURS_B: u32 = TILE_N * DEPTH / 4u;
const LOADS_A: u32 = (FOURS_A + LANES - 1u) / LANES;
const LOADS_B: u32 = (FOURS_B + LANES - 1u) / LANES;
// Lines (rows of A, columns of B) behind each load.
const LINES_A: u32 = select(4u, 1u, A_ALONG_K || A_FOURS);
const LINES_B: u32 = select(4u, 1u, B_ALONG_K || B_FOURS);

var<workgroup> tile_a: array<vec4<f32>, STRIDE_A * DEPTH>;
var<workgroup> tile_b: array<vec4<f32>, STRIDE_B * DEPTH>;
var<workgroup> steps_a: array<APart, DEPTH>;
var<workgroup> steps_b: array<BPart, DEPTH>;

// The sums of an invocation: block (p, q), a column of the matrix for each row of the block.
struct Sums {
    s00: mat4x4<f32>,
    s01: mat4x4<f32>,
    s10: mat4x4<f32>,
    s11: mat4x4<f32>,
}

// Where load number `i` of an invocation begins: x is the line in a tile of `size` lines, y is k.
fn place(lane: u32, i: u32, size: u32, along_k: bool) -> vec2<u32> {
    let four = lane + LANES * i;
    if (along_k) {
        return vec2<u32>(four / (DEPTH / 4u), four % (DEPTH / 4u) * 4u);
    }
    return vec2<u32>(four % (size / 4u) * 4u, four / (size / 4u));
}

// Computes the k-dependent parts for the step that begins at `k`.
fn prepare_step(lane: u32, k: u32) {
    if (lane < DEPTH) {
        let inner = inner_at(k + lane);
        steps_a[lane] = a_step(inner);
        steps_b[lane] = b_step(inner);
    }
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

    // Lines past the edge repeat the last one (of fours that lie together, the last four); what comes of them is not stored.
    var lines_a: array<APart, LINES_A * LOADS_A>;
    for (var i = 0u; i < LINES_A * LOADS_A; i += 1u) {
        let line = tile.row + place(lane, i / LINES_A, TILE_M, A_ALONG_K).x + i % LINES_A;
        let last = last_row - select(0u, 3u, A_FOURS && !A_ALONG_K);
        lines_a[i] = a_line(batch, row_at(min(line, last)));
    }
    var lines_b: array<BPart, LINES_B * LOADS_B>;
    for (var i = 0u; i < LINES_B * LOADS_B; i += 1u) {
        let line = tile.col + place(lane, i / LINES_B, TILE_N, B_ALONG_K).x + i % LINES_B;
        let last = last_col - select(0u, 3u, B_FOURS && !B_ALONG_K);
        lines_b[i] = b_line(batch, col_at(min(line, last)));
    }

    let row = lane / THREADS_N;
    let col = lane % THREADS_N;
    var sums: Sums;
    prepare_step(lane, tile.begin);
    workgroupBarrier();
    for (var k = tile.begin; k < tile.end; k += DEPTH) {
        for (var i = 0u; i < LOADS_A; i += 1u) {
            let at = place(lane, i, TILE_M, A_ALONG_K);
            if (at.x < TILE_M && at.y < DEPTH) {
                var x = vec4<f32>();
                if (A_FOURS) {
                    if (k + at.y < tile.end) {
                        x = a_four(lines_a[i], steps_a[at.y]);
                    }
                } else if (A_ALONG_K) {
                    for (var c = 0u; c < 4u; c += 1u) {
                        if (k + at.y + c < tile.end) {
                            x[c] = a_at(lines_a[i], steps_a[at.y + c]);
                        }
                    }
                } else if (k + at.y < tile.end) {
                    for (var c = 0u; c < 4u; c += 1u) {
                        x[c] = a_at(lines_a[LINES_A * i + c % LINES_A], steps_a[at.y]);
                    }
                }
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
                var x = vec4<f32>();
                if (B_FOURS) {
                    if (k + at.y < tile.end) {
                        x = b_four(lines_b[i], steps_b[at.y]);
                    }
                } else if (B_ALONG_K) {
                    for (var c = 0u; c < 4u; c += 1u) {
                        if (k + at.y + c < tile.end) {
                            x[c] = b_at(lines_b[i], steps_b[at.y + c]);
                        }
                    }
                } else if (k + at.y < tile.end) {
                    for (var c = 0u; c < 4u; c += 1u) {
                        x[c] = b_at(lines_b[LINES_B * i + c % LINES_B], steps_b[at.y]);
                    }
                }
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
