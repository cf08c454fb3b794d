// The first pass of a blocked recurrence: what each chunk of a line does to the state that comes in.
//
// Layout: elements [outer][place][inner], dense; parts [chunk][line], where a line is an (outer, inner).
// Tile: one invocation a chunk.
// Bindings: 0 params; then parts and what `extend` reads, all in the preamble.
//
// The preamble defines
//   SIZE                  invocations of a workgroup
//   Part                  what a chunk does to a state
//   parts                 of all chunks but each line's last
//   line_count            lines
//   part_count            parts
//   chunk                 steps of a chunk
//   element_at            where step i of a line is
//   no_steps, extend      the part of no steps; one more step, at an element

@compute @workgroup_size(SIZE)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * SIZE + lane;
    if (i >= part_count()) {
        return;
    }
    let number = i / line_count();
    let line = i - number * line_count();
    var part = no_steps();
    for (var step = 0u; step < chunk(); step += 1u) {
        part = extend(part, element_at(line, number * chunk() + step));
    }
    parts[i] = part;
}
