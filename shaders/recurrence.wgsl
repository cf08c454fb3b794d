// A recurrence along the lines of a tensor: each step makes a new state from the last one and an element. Running sums and
// products, discounted returns, moving averages and running maxima are this. Long lines are cut into chunks whose incoming
// states two passes before this one have found (recurrence_parts.wgsl, recurrence_carry.wgsl).
//
// Layout: elements and result [outer][place][inner], dense.
// Tile: one invocation a chunk, or a whole line.
// Bindings: 0 params; then the result and what `incoming` and `advance` read, all in the preamble.
//
// The preamble defines
//   SIZE          invocations of a workgroup
//   State         what is carried
//   result        the states
//   line_count    lines
//   work_count    chunks of all lines
//   line_length   steps of a line
//   chunk         steps of a chunk
//   element_at    where step i of a line is
//   incoming      the state before a chunk of a line
//   advance       the state after a step, at an element
//   finished      what is stored of a state

@compute @workgroup_size(SIZE)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * SIZE + lane;
    if (i >= work_count()) {
        return;
    }
    let number = i / line_count();
    let line = i - number * line_count();
    let first = number * chunk();
    let end = min(first + chunk(), line_length());
    var state = incoming(number, line);
    for (var step = first; step < end; step += 1u) {
        let at = element_at(line, step);
        state = advance(state, at);
        result[at] = finished(state);
    }
}
