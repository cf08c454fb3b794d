// How contraction.wgsl and contraction_matrix.wgsl load their tiles: in fours of elements, which lie along k or along the
// lines (rows of A, columns of B), for DEPTH steps of k at once. It stands before them.
//
// They define LANES, TILE_M, TILE_N and DEPTH; what their preambles define is said in them.

// Fours of a tile that each invocation loads; of a tile with fewer than lanes, some load one.
const LOADS_A: u32 = (TILE_M * DEPTH / 4u + LANES - 1u) / LANES;
const LOADS_B: u32 = (TILE_N * DEPTH / 4u + LANES - 1u) / LANES;
// Lines behind each load.
const LINES_A: u32 = select(4u, 1u, A_ALONG_K || A_FOURS);
const LINES_B: u32 = select(4u, 1u, B_ALONG_K || B_FOURS);

alias LinesA = array<APart, LINES_A * LOADS_A>;
alias LinesB = array<BPart, LINES_B * LOADS_B>;

var<workgroup> steps_a: array<APart, DEPTH>;
var<workgroup> steps_b: array<BPart, DEPTH>;

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

// The lines that an invocation loads. Past the edge they repeat the last one (of fours that lie together, the last four);
// what comes of them is not stored.
fn find_lines(tile: Tile, batch: Batch, lane: u32, lines_a: ptr<function, LinesA>, lines_b: ptr<function, LinesB>) {
    for (var i = 0u; i < LINES_A * LOADS_A; i += 1u) {
        let line = tile.row + place(lane, i / LINES_A, TILE_M, A_ALONG_K).x + i % LINES_A;
        let last = row_count() - 1u - select(0u, 3u, A_FOURS && !A_ALONG_K);
        (*lines_a)[i] = a_line(batch, row_at(min(line, last)));
    }
    for (var i = 0u; i < LINES_B * LOADS_B; i += 1u) {
        let line = tile.col + place(lane, i / LINES_B, TILE_N, B_ALONG_K).x + i % LINES_B;
        let last = col_count() - 1u - select(0u, 3u, B_FOURS && !B_ALONG_K);
        (*lines_b)[i] = b_line(batch, col_at(min(line, last)));
    }
}

// Load number `i` of A, for steps `step` and, along k, the next three of the tile at `k`: 0 from `end` on.
fn load_a(lines: ptr<function, LinesA>, i: u32, step: u32, k: u32, end: u32) -> vec4<f32> {
    var x = vec4<f32>();
    if (A_FOURS) {
        if (k + step < end) {
            x = a_four((*lines)[i], steps_a[step]);
        }
    } else if (A_ALONG_K) {
        for (var c = 0u; c < 4u; c += 1u) {
            if (k + step + c < end) {
                x[c] = a_at((*lines)[i], steps_a[step + c]);
            }
        }
    } else if (k + step < end) {
        for (var c = 0u; c < 4u; c += 1u) {
            x[c] = a_at((*lines)[LINES_A * i + c % LINES_A], steps_a[step]);
        }
    }
    return x;
}

// The same of B.
fn load_b(lines: ptr<function, LinesB>, i: u32, step: u32, k: u32, end: u32) -> vec4<f32> {
    var x = vec4<f32>();
    if (B_FOURS) {
        if (k + step < end) {
            x = b_four((*lines)[i], steps_b[step]);
        }
    } else if (B_ALONG_K) {
        for (var c = 0u; c < 4u; c += 1u) {
            if (k + step + c < end) {
                x[c] = b_at((*lines)[i], steps_b[step + c]);
            }
        }
    } else if (k + step < end) {
        for (var c = 0u; c < 4u; c += 1u) {
            x[c] = b_at((*lines)[LINES_B * i + c % LINES_B], steps_b[step]);
        }
    }
    return x;
}
