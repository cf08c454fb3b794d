// The first pass over long segments: each chunk of CHUNK positions that lies within one segment is folded. The second
// pass (segments.wgsl) joins the chunks.
//
// Layout: partials [chunk][column], dense. Chunks with a segment's start inside are left as they are.
// Tile: one invocation a column of a chunk.
// Bindings: 0 params; then starts, partials and what `fold` reads, all in the preamble.
//
// The preamble defines
//   SIZE            invocations of a workgroup
//   CHUNK           positions of a chunk
//   Value           an element or four neighbours, or the position of one
//   starts          where each segment starts, ascending, and where the last one ends
//   partials        the folded chunks
//   segment_count   segments
//   chunk_count     whole chunks
//   width           columns, in Values
//   empty, fold     the fold of nothing; one more position of a column

@compute @workgroup_size(SIZE)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * SIZE + lane;
    if (i >= chunk_count() * width()) {
        return;
    }
    let chunk = i / width();
    let column = i - chunk * width();
    let first = chunk * CHUNK;
    let end = first + CHUNK;
    // The first start after the chunk's first position.
    var low = 0u;
    var high = segment_count() + 1u;
    while (low < high) {
        let half = (low + high) / 2u;
        if (starts[half] <= first) {
            low = half + 1u;
        } else {
            high = half;
        }
    }
    if (low == 0u || low > segment_count()) {
        return;
    }
    if (starts[low] < end) {
        return;
    }
    var folded = empty();
    for (var p = first; p < end; p += 1u) {
        folded = fold(folded, p, column);
    }
    partials[i] = folded;
}
