// The first pass of a stable argsort: each run of RUN neighbours in a row is put in order by counting, for each element,
// how many of its run come before it.
//
// Layout: keys [row][place], dense. What is written lies alike.
// Tile: one invocation an element.
// Bindings: 0 params; then the keys and what `put` writes, all in the preamble.
//
// The preamble defines
//   SIZE            invocations of a workgroup
//   RUN             elements of a run
//   keys            what is sorted by
//   element_count   elements in all
//   row_length      elements of a row
//   put             stores a key, and the place in its row where it was, at a position

@compute @workgroup_size(SIZE)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * SIZE + lane;
    if (i >= element_count()) {
        return;
    }
    let n = row_length();
    let place = i % n;
    let row = i - place;
    let first = place - place % RUN;
    let end = min(first + RUN, n);
    let key = keys[i];
    var rank = first;
    for (var j = first; j < place; j += 1u) {
        rank += select(0u, 1u, keys[row + j] <= key);
    }
    for (var j = place + 1u; j < end; j += 1u) {
        rank += select(0u, 1u, keys[row + j] < key);
    }
    put(row + rank, key, place);
}
