// C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n], a workgroup an element of C: for products of a matrix and a vector whose
// rows lie along k, which neighbouring invocations then read side by side.
//
// Layout: whatever the generated readers and writer say.
// Tile: one element.
// Bindings: 0 params; then A, B, the epilogue's inputs, and C (or the partial sums), all in the preamble.
//
// The preamble defines
//   SIZE                         invocations of a workgroup
//   folded                       the sum of what all invocations of the workgroup have, given to the first
//   Tile, tile_at                which element a workgroup computes, and which part of the inner axis it sums
//   Batch, Row, Col, Inner       sub-axis coordinates, from batch_at, row_at, col_at, inner_at
//   APart, a_line, a_step, a_at  reads A: the part of the position that depends on (b, m), that on k, and both together
//   BPart, b_line, b_step, b_at  the same for B, with (b, n)
//   store                        writes a sum

// The product at k; 0 past the end.
fn product_at(tile: Tile, a: APart, b: BPart, k: u32) -> f32 {
    let inside = k < tile.end;
    let inner = inner_at(select(tile.begin, k, inside));
    return select(0.0, a_at(a, a_step(inner)) * b_at(b, b_step(inner)), inside);
}

@compute @workgroup_size(SIZE)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // Groups past the last take part, since all invocations must meet at barriers, and store nothing.
    let tile = tile_at(group.y * groups.x + group.x);
    let batch = batch_at(tile.batch);
    let row = row_at(tile.row);
    let col = col_at(tile.col);
    let a = a_line(batch, row);
    let b = b_line(batch, col);
    let end = select(0u, tile.end, tile.inside);
    // Four sums, so that reads do not wait for each other.
    var sums = vec4<f32>();
    for (var k = tile.begin + lane; k < end; k += 4u * SIZE) {
        sums += vec4<f32>(
            product_at(tile, a, b, k),
            product_at(tile, a, b, k + SIZE),
            product_at(tile, a, b, k + 2u * SIZE),
            product_at(tile, a, b, k + 3u * SIZE),
        );
    }
    let sum = folded((sums.x + sums.y) + (sums.z + sums.w), lane);
    if (tile.inside && lane == 0u) {
        store(tile, tile.row, tile.col, batch, row, col, sum);
    }
}
