// C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n], one element of C an invocation: for depthwise convolution, its weight
// gradient, and other products with so few rows and columns that a tile would be mostly empty.
//
// Layout: whatever the generated readers and writer say.
// Tile: one element; neighbouring invocations have neighbouring columns if C has one row, else neighbouring rows.
// Bindings: 0 params; then A, B, the epilogue's inputs, and C (or the partial sums), all in the preamble.
//
// The preamble defines
//   SIZE                         invocations of a workgroup
//   Tile, tile_at                which element an invocation computes, and which part of the inner axis it sums
//   Batch, Row, Col, Inner       sub-axis coordinates, from batch_at, row_at, col_at, inner_at; inner_next: k + 1
//   APart, a_line, a_step, a_at  reads A: the part of the position that depends on (b, m), that on k, and both together
//   BPart, b_line, b_step, b_at  the same for B, with (b, n)
//   store                        writes a sum

@compute @workgroup_size(SIZE)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = tile_at((group.y * groups.x + group.x) * SIZE + lane);
    if (!tile.inside) {
        return;
    }
    let batch = batch_at(tile.batch);
    let row = row_at(tile.row);
    let col = col_at(tile.col);
    let a = a_line(batch, row);
    let b = b_line(batch, col);
    // Of long sums, 64 terms at a time: fewer digits are lost.
    var sum = 0.0;
    var some = 0.0;
    var inner = inner_at(tile.begin);
    for (var k = tile.begin; k < tile.end; k += 1u) {
        some += a_at(a, a_step(inner)) * b_at(b, b_step(inner));
        if ((k & 63u) == 63u) {
            sum += some;
            some = 0.0;
        }
        inner = inner_next(inner);
    }
    store(tile, tile.row, tile.col, batch, row, col, sum + some);
}
