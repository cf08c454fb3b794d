// Attention for GPUs run by a CPU: see attention_tile_software.wgsl, which stands before this.
//
// Layout, bindings, preamble: as attention_forward.wgsl. The result is added up in the output itself: registers do not
// suffice, and an array of the invocation's own is no faster than a buffer here.

fn own_element(second: bool, at: u32) -> f32 {
    return q[at];
}

fn other_element(second: bool, at: u32) -> f32 {
    if (second) { return v[at]; }
    return k[at];
}

fn own_base(second: bool, at: Head) -> u32 {
    return q_base(at);
}

fn own_step(second: bool) -> u32 {
    return q_step();
}

fn other_base(second: bool, at: Head) -> u32 {
    if (second) { return v_base(at); }
    return k_base(at);
}

fn other_step(second: bool) -> u32 {
    if (second) { return v_step(); }
    return k_step();
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = workgroup.y * groups.x + workgroup.x;
    let tiles = (length_q() + OWN - 1u) / OWN;
    if (tile >= tiles * heads() * batches()) {
        return;
    }
    let at = head_at(tile / tiles);
    let first = (tile % tiles) * OWN;
    let own = first + lane * 4u + FOUR;
    let inside = own < vec4<u32>(length_q());
    let range = keys_of(first, min(first + OWN, length_q()));
    let row = min(own, vec4<u32>(length_q() - 1u));
    let line = out_base(at) + row * out_step();

    var top = vec4<f32>(LEAST);
    var sum = vec4<f32>();
    for (var j = range.x; j < range.y; j += OTHER) {
        var s = columns(product(false, size(), places(false, at, own, length_q(), j, length_k())));
        let old = top;
        for (var c = 0u; c < OTHER; c += 1u) {
            let x = scores(at, own, vec4<u32>(j + c), s[c]);
            top = max(top, x);
            s[c] = x;
        }
        // Bounded, so that nothing is infinite; the sum is 0 where this is far from exact.
        let shrink = exp(max(old - top, vec4<f32>(-100.0)));
        sum *= shrink;
        for (var c = 0u; c < OTHER; c += 1u) {
            var x = weights(s[c], top);
            sum += x;
            if (DROPPED) {
                x *= kept(at, own, vec4<u32>(j + c));
            }
            s[c] = x;
        }
        let p = tile_of(s);
        let values = places(true, at, own, length_q(), j, length_k());
        let begun = vec4<bool>(j != range.x);
        for (var n = 0u; n < size_v(); n += 1u) {
            let before = select(vec4<f32>(), load_out(line + n) * shrink, begun);
            store_out(line + n, inside, before + weighted(true, p, values, n));
        }
    }

    let empty = sum == vec4<f32>();
    let inverse = select(1.0 / sum, vec4<f32>(), empty);
    // A row that saw nothing may never have been written.
    let seen = vec4<bool>(range.x < range.y) & !empty;
    for (var n = 0u; n < size_v(); n += 1u) {
        store_out(line + n, inside, select(vec4<f32>(), load_out(line + n) * inverse, seen));
    }
    store_out(LOG_AT() + at.all * length_q() + row, inside, select(top + log(sum), vec4<f32>(LEAST), empty));
}
