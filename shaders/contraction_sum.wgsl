// The second pass of a contraction whose inner axis was split: adds up the partial sums, always in the same order.
//
// Layout: partial sums as [split][b][m][n], dense; the output as the generated writer says.
// Tile: one invocation an element of C.
// Bindings: 0 params; then the partial sums, the epilogue's inputs, and C, all in the preamble.
//
// The preamble defines
//   SIZE                      invocations of a workgroup
//   partials                  the partial sums
//   element_count             elements of C
//   split_count               partial sums of each element
//   Tile, element_at          the batch, row and column of an element, in the fields of a Tile
//   batch_at, row_at, col_at  sub-axis coordinates
//   store                     writes a sum

@compute @workgroup_size(SIZE)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * SIZE + lane;
    let count = element_count();
    if (i >= count) {
        return;
    }
    var sum = 0.0;
    for (var s = 0u; s < split_count(); s += 1u) {
        sum += partials[s * count + i];
    }
    let at = element_at(i);
    store(at, at.row, at.col, batch_at(at.batch), row_at(at.row), col_at(at.col), sum);
}
