// C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n], for GPUs run by a CPU (lavapipe, WARP): tiles in registers.
//
// Such an adapter runs the 8 lanes of a workgroup as one vector. Workgroup memory and barriers cost it dear; a read at
// an address that all lanes share is cheap. So A is read at such addresses, and the lanes lie along the columns of B.
//
// Layout: whatever the generated readers and writer say.
// Tile: 8 lanes compute ROWS (1, 4 or 8) x 64 elements of C; a lane has the columns lane, lane + 8, ..., lane + 56.
// Bindings: 0 params; then A, B, the epilogue's inputs, and C (or the partial sums), all in the preamble.
//
// The preamble defines
//   ROWS                         rows of a tile
//   Tile, tile_at                what a workgroup has to do
//   row_count, col_count         the extents of C
//   Batch, Row, Col, Inner       sub-axis coordinates, from batch_at, row_at, col_at, inner_at; inner_next: k + 1
//   APart, a_line, a_step, a_at  reads A: the part of the position that depends on (b, m), that on k, and both together
//   BPart, b_line, b_step, b_at  the same for B, with (b, n)
//   store                        writes a sum

@compute @workgroup_size(8)
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
    let a0 = a_line(batch, row_at(min(tile.row + 0u, last_row)));
    let a1 = a_line(batch, row_at(min(tile.row + 1u, last_row)));
    let a2 = a_line(batch, row_at(min(tile.row + 2u, last_row)));
    let a3 = a_line(batch, row_at(min(tile.row + 3u, last_row)));
    let a4 = a_line(batch, row_at(min(tile.row + 4u, last_row)));
    let a5 = a_line(batch, row_at(min(tile.row + 5u, last_row)));
    let a6 = a_line(batch, row_at(min(tile.row + 6u, last_row)));
    let a7 = a_line(batch, row_at(min(tile.row + 7u, last_row)));
    let b0 = b_line(batch, col_at(min(tile.col + lane + 0u, last_col)));
    let b1 = b_line(batch, col_at(min(tile.col + lane + 8u, last_col)));
    let b2 = b_line(batch, col_at(min(tile.col + lane + 16u, last_col)));
    let b3 = b_line(batch, col_at(min(tile.col + lane + 24u, last_col)));
    let b4 = b_line(batch, col_at(min(tile.col + lane + 32u, last_col)));
    let b5 = b_line(batch, col_at(min(tile.col + lane + 40u, last_col)));
    let b6 = b_line(batch, col_at(min(tile.col + lane + 48u, last_col)));
    let b7 = b_line(batch, col_at(min(tile.col + lane + 56u, last_col)));

    // Sums of row r: columns 0 to 3 of the lane on the left, 4 to 7 on the right.
    var left0 = vec4<f32>();
    var right0 = vec4<f32>();
    var left1 = vec4<f32>();
    var right1 = vec4<f32>();
    var left2 = vec4<f32>();
    var right2 = vec4<f32>();
    var left3 = vec4<f32>();
    var right3 = vec4<f32>();
    var left4 = vec4<f32>();
    var right4 = vec4<f32>();
    var left5 = vec4<f32>();
    var right5 = vec4<f32>();
    var left6 = vec4<f32>();
    var right6 = vec4<f32>();
    var left7 = vec4<f32>();
    var right7 = vec4<f32>();
    var inner = inner_at(tile.begin);
    for (var k = tile.begin; k < tile.end; k += 1u) {
        let a = a_step(inner);
        let b = b_step(inner);
        let left = vec4<f32>(b_at(b0, b), b_at(b1, b), b_at(b2, b), b_at(b3, b));
        let right = vec4<f32>(b_at(b4, b), b_at(b5, b), b_at(b6, b), b_at(b7, b));
        let x0 = a_at(a0, a);
        left0 += x0 * left;
        right0 += x0 * right;
        if (ROWS > 1u) {
            let x1 = a_at(a1, a);
            left1 += x1 * left;
            right1 += x1 * right;
            let x2 = a_at(a2, a);
            left2 += x2 * left;
            right2 += x2 * right;
            let x3 = a_at(a3, a);
            left3 += x3 * left;
            right3 += x3 * right;
        }
        if (ROWS > 4u) {
            let x4 = a_at(a4, a);
            left4 += x4 * left;
            right4 += x4 * right;
            let x5 = a_at(a5, a);
            left5 += x5 * left;
            right5 += x5 * right;
            let x6 = a_at(a6, a);
            left6 += x6 * left;
            right6 += x6 * right;
            let x7 = a_at(a7, a);
            left7 += x7 * left;
            right7 += x7 * right;
        }
        inner = inner_next(inner);
    }

    // Through memory, so that the code of the epilogue stands here once and not 64 times.
    var sums: array<vec4<f32>, 16>;
    sums[0] = left0;
    sums[1] = right0;
    sums[2] = left1;
    sums[3] = right1;
    sums[4] = left2;
    sums[5] = right2;
    sums[6] = left3;
    sums[7] = right3;
    sums[8] = left4;
    sums[9] = right4;
    sums[10] = left5;
    sums[11] = right5;
    sums[12] = left6;
    sums[13] = right6;
    sums[14] = left7;
    sums[15] = right7;
    for (var c = 0u; c < 8u; c += 1u) {
        let n = tile.col + lane + 8u * c;
        if (n <= last_col) {
            let coords = col_at(n);
            for (var r = 0u; r < min(ROWS, row_count() - tile.row); r += 1u) {
                let m = tile.row + r;
                store(tile, m, n, batch, row_at(m), coords, sums[2u * r + c / 4u][c % 4u]);
            }
        }
    }
}
