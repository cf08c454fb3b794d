// Folds over segments of positions, each of which names a row of a source: sums (with weights, if there are any) or the
// positions of the greatest. Scatters, segment reductions, gradients of gathers and products with sparse matrices are this.
//
// Layout: result [segment][column], dense.
// Tile: one invocation a column of a segment.
// Bindings: 0 params; then starts, result, and what `fold` and `part` read, all in the preamble.
//
// The preamble defines
//   SIZE             invocations of a workgroup
//   CHUNK            positions of a chunk, a power of two
//   CHUNKED          whether chunks that lie within one segment were folded before (segment_parts.wgsl)
//   Value            an element or four neighbours, or the position of one
//   starts           where each segment starts, ascending, and where the last one ends
//   result           the folded segments
//   segment_count    segments
//   position_count   positions
//   width            columns, in Values
//   empty, fold      the fold of nothing; one more position of a column
//   part, join       a folded chunk of a column; the fold of two parts, one after the other

@compute @workgroup_size(SIZE)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * SIZE + lane;
    if (i >= segment_count() * width()) {
        return;
    }
    let segment = i / width();
    let column = i - segment * width();
    let end = min(starts[segment + 1u], position_count());
    var p = starts[segment];
    var folded = empty();
    if (CHUNKED && p < end) {
        let chunks_end = end & ~(CHUNK - 1u);
        let chunks_start = min((p + CHUNK - 1u) & ~(CHUNK - 1u), end);
        for (; p < chunks_start; p += 1u) {
            folded = fold(folded, p, column);
        }
        for (; p < chunks_end; p += CHUNK) {
            folded = join(folded, part(p / CHUNK, column), column);
        }
    }
    for (; p < end; p += 1u) {
        folded = fold(folded, p, column);
    }
    result[i] = folded;
}
