// Where values belong in sorted rows, by bisection.
//
// Layout: sorted [row][place], values and positions [row][value], dense.
// Tile: one invocation a value.
// Bindings: 0 params; then the sorted rows, the values and the positions, all in the preamble.
//
// The preamble defines
//   SIZE             invocations of a workgroup
//   sorted           the rows, ascending
//   values           what is looked for
//   positions        how many elements of its row come before a value
//   value_count      values in all
//   values_of_row    values for each row
//   row_length       elements of a sorted row
//   after_equals     1 if elements equal to a value come before it, else 0

@compute @workgroup_size(SIZE)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * SIZE + lane;
    if (i >= value_count()) {
        return;
    }
    let row = i / values_of_row() * row_length();
    let value = values[i];
    var low = 0u;
    var high = row_length();
    while (low < high) {
        let half = (low + high) / 2u;
        let found = sorted[row + half];
        if (found < value || (found == value && after_equals() == 1u)) {
            low = half + 1u;
        } else {
            high = half;
        }
    }
    positions[i] = low;
}
