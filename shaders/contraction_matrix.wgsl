// C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n], of f16 operands summed in f32, by cooperative matrices: a subgroup
// multiplies two SIZE x SIZE matrices at once.
//
// Layout: whatever the generated readers and writer say. What is past an edge is 0 in workgroup memory.
// Tile: 4 subgroups, 2 x 2, each with 2 x 4 matrices: 4 SIZE x 8 SIZE elements of C, in steps of SIZE along k.
// Workgroup memory, below 16 KiB: tiles of A and B in f16, row-major, lines eight longer; a matrix of sums for each
// subgroup; and the parts of positions that depend on k alone.
// Bindings: 0 params; then A, B, the epilogue's inputs, and C (or the partial sums), all in the preamble.
//
// The preamble, with contraction_load.wgsl at its end, defines
//   SIZE, SUBGROUP               of a matrix; lanes of a subgroup
//   A_ALONG_K, B_ALONG_K         whether neighbouring elements of A (B) differ in k, so that lanes read along k
//   A_FOURS, B_FOURS             whether four neighbours lie together and begin at a multiple of four: a_four, b_four
//   Tile, tile_at                what a workgroup has to do
//   row_count, col_count         the extents of C
//   Batch, Row, Col, Inner       sub-axis coordinates, from batch_at, row_at, col_at, inner_at
//   APart, a_line, a_step, a_at  reads A: the part of the position that depends on (b, m), that on k, and both together
//   BPart, b_line, b_step, b_at  the same for B, with (b, n)
//   store                        writes a sum
//   Left, Right, Sums            matrices, as the hardware has them or, for tests, as plain arrays
//   load_left, load_right        read them from tile_a, tile_b
//   load_sums, store_sums        read and write them in `results`
//   product                      sums + left * right

const LANES: u32 = 4u * SUBGROUP;
const DEPTH: u32 = SIZE;
const TILE_M: u32 = 4u * SIZE;
const TILE_N: u32 = 8u * SIZE;
const STRIDE_A: u32 = SIZE + 8u;
const STRIDE_B: u32 = TILE_N + 8u;
const AREA: u32 = SIZE * SIZE;

var<workgroup> tile_a: array<f16, TILE_M * STRIDE_A>;
var<workgroup> tile_b: array<f16, SIZE * STRIDE_B>;
var<workgroup> results: array<f32, 4u * AREA>;

// Stores a subgroup's matrix whose first element is at `row`, `col`. All invocations call it together.
fn write(tile: Tile, batch: Batch, sums: Sums, row: u32, col: u32, part: u32, lane: u32) {
    workgroupBarrier();
    store_sums(sums, part * AREA);
    workgroupBarrier();
    for (var e = lane; e < AREA; e += SUBGROUP) {
        let m = row + e / SIZE;
        let n = col + e % SIZE;
        if (m < row_count() && n < col_count()) {
            store(tile, m, n, batch, row_at(m), col_at(n), results[part * AREA + e]);
        }
    }
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) part: u32,
    @builtin(subgroup_invocation_id) sublane: u32,
) {
    let tile = tile_at(group.y * groups.x + group.x);
    if (!tile.inside) {
        return;
    }
    let batch = batch_at(tile.batch);
    var lines_a: LinesA;
    var lines_b: LinesB;
    find_lines(tile, batch, lane, &lines_a, &lines_b);

    for (var i = lane; i < 4u * AREA; i += LANES) {
        results[i] = 0.0;
    }
    prepare_step(lane, tile.begin);
    workgroupBarrier();
    var s00 = load_sums(part * AREA);
    var s01 = load_sums(part * AREA);
    var s02 = load_sums(part * AREA);
    var s03 = load_sums(part * AREA);
    var s10 = load_sums(part * AREA);
    var s11 = load_sums(part * AREA);
    var s12 = load_sums(part * AREA);
    var s13 = load_sums(part * AREA);
    // Of this subgroup's matrices, the first row and column in the tile.
    let down = part / 2u * 2u * SIZE;
    let right = part % 2u * 4u * SIZE;
    for (var k = tile.begin; k < tile.end; k += SIZE) {
        for (var i = 0u; i < LOADS_A; i += 1u) {
            let at = place(lane, i, TILE_M, A_ALONG_K);
            if (at.x < TILE_M && at.y < SIZE) {
                let x = load_a(&lines_a, i, at.y, k, tile.end);
                let along = select(vec2<u32>(1u, 0u), vec2<u32>(0u, 1u), A_ALONG_K);
                for (var c = 0u; c < 4u; c += 1u) {
                    let to = at + along * c;
                    tile_a[(to.x) * STRIDE_A + to.y] = f16(x[c]);
                }
            }
        }
        for (var i = 0u; i < LOADS_B; i += 1u) {
            let at = place(lane, i, TILE_N, B_ALONG_K);
            if (at.x < TILE_N && at.y < SIZE) {
                let x = load_b(&lines_b, i, at.y, k, tile.end);
                let along = select(vec2<u32>(1u, 0u), vec2<u32>(0u, 1u), B_ALONG_K);
                for (var c = 0u; c < 4u; c += 1u) {
                    let to = at + along * c;
                    tile_b[(to.y) * STRIDE_B + to.x] = f16(x[c]);
                }
            }
        }
        workgroupBarrier();
        // Nobody reads the steps until the next barrier.
        prepare_step(lane, k + SIZE);
        let a0 = load_left(down * STRIDE_A);
        let a1 = load_left((down + SIZE) * STRIDE_A);
        let b0 = load_right(right + 0u * SIZE);
        s00 = product(a0, b0, s00);
        s10 = product(a1, b0, s10);
        let b1 = load_right(right + 1u * SIZE);
        s01 = product(a0, b1, s01);
        s11 = product(a1, b1, s11);
        let b2 = load_right(right + 2u * SIZE);
        s02 = product(a0, b2, s02);
        s12 = product(a1, b2, s12);
        let b3 = load_right(right + 3u * SIZE);
        s03 = product(a0, b3, s03);
        s13 = product(a1, b3, s13);
        workgroupBarrier();
    }
    let row = tile.row + down;
    let col = tile.col + right;
    write(tile, batch, s00, row + 0u * SIZE, col + 0u * SIZE, part, sublane);
    write(tile, batch, s01, row + 0u * SIZE, col + 1u * SIZE, part, sublane);
    write(tile, batch, s02, row + 0u * SIZE, col + 2u * SIZE, part, sublane);
    write(tile, batch, s03, row + 0u * SIZE, col + 3u * SIZE, part, sublane);
    write(tile, batch, s10, row + 1u * SIZE, col + 0u * SIZE, part, sublane);
    write(tile, batch, s11, row + 1u * SIZE, col + 1u * SIZE, part, sublane);
    write(tile, batch, s12, row + 1u * SIZE, col + 2u * SIZE, part, sublane);
    write(tile, batch, s13, row + 1u * SIZE, col + 3u * SIZE, part, sublane);
}
