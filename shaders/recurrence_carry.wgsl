// The second pass of a blocked recurrence: the state after each chunk, chunk by chunk along each line.
//
// Layout: parts and states [chunk][line], where a line is an (outer, inner).
// Tile: one invocation a line.
// Bindings: 0 params; then parts and states, all in the preamble.
//
// The preamble defines
//   SIZE          invocations of a workgroup
//   State         what a recurrence carries
//   line_count    lines
//   part_count    parts: all chunks but each line's last
//   start         the state before the first step
//   apply         the state after the chunk of a part, from the one before it
//   keep          stores the state after the chunk of a part

@compute @workgroup_size(SIZE)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let line = (group.y * groups.x + group.x) * SIZE + lane;
    if (line >= line_count()) {
        return;
    }
    var state = start();
    for (var i = line; i < part_count(); i += line_count()) {
        state = apply(i, state);
        keep(i, state);
    }
}
