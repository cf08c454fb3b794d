// A further pass of a stable argsort: neighbouring sorted runs become one. Each invocation finds by bisection where its
// outputs begin in the two runs (Odeh, Green, Mwassi, Shmueli, Birk: "Merge path", IPDPS 2012) and then merges in order.
//
// Layout: keys and places [row][position], dense.
// Tile: one invocation ITEMS outputs.
// Bindings: 0 params; then what `key_at`, `place_at` and `put` use, all in the preamble.
//
// The preamble defines
//   SIZE            invocations of a workgroup
//   ITEMS           outputs of an invocation, a power of two
//   part_count      invocations wanted
//   parts_of_row    invocations for each row
//   row_length      elements of a row
//   run_length      elements of a run, a power of two and a multiple of ITEMS
//   key_at          the key at a position
//   place_at        the place in its row where that key was at first
//   put             stores a key and its place at a position

@compute @workgroup_size(SIZE)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = (group.y * groups.x + group.x) * SIZE + lane;
    if (part >= part_count()) {
        return;
    }
    let line = part / parts_of_row();
    let at = (part - line * parts_of_row()) * ITEMS;
    let n = row_length();
    let row = line * n;
    let first = at & ~(2u * run_length() - 1u);
    let middle = min(first + run_length(), n);
    let last = min(middle + run_length(), n);

    // How many of the outputs before `at` come from the first run: equal keys do first.
    let before = at - first;
    let second = last - middle;
    var low = select(0u, before - second, before > second);
    var high = min(before, middle - first);
    while (low < high) {
        let half = (low + high) / 2u;
        if (key_at(row + first + half) <= key_at(row + middle + before - 1u - half)) {
            low = half + 1u;
        } else {
            high = half;
        }
    }
    var a = first + low;
    var b = middle + before - low;
    // Places past the end of a run are within the row's buffer or read as anything: they are not chosen.
    var a_key = key_at(row + min(a, n - 1u));
    var b_key = key_at(row + min(b, n - 1u));
    let end = min(at + ITEMS, last);
    for (var to = at; to < end; to += 1u) {
        if (a < middle && (b >= last || a_key <= b_key)) {
            put(row + to, a_key, place_at(row + a));
            a += 1u;
            a_key = key_at(row + min(a, n - 1u));
        } else {
            put(row + to, b_key, place_at(row + b));
            b += 1u;
            b_key = key_at(row + min(b, n - 1u));
        }
    }
}
