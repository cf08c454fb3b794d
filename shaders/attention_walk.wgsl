// What a workgroup of a backward kernel of attention reads and walks, and the gradients of scores. Stands before both forms
// of these kernels; names as there.

fn own_element(second: bool, at: u32) -> f32 {
    if (PART == 0u) {
        if (second) { return grad[at]; }
        return q[at];
    }
    if (second) { return v[at]; }
    return k[at];
}

fn other_element(second: bool, at: u32) -> f32 {
    if (PART != 0u) {
        if (second) { return grad[at]; }
        return q[at];
    }
    if (second) { return v[at]; }
    return k[at];
}

fn own_base(second: bool, at: Head) -> u32 {
    if (PART == 0u) {
        if (second) { return grad_base(at); }
        return q_base(at);
    }
    if (second) { return v_base(at); }
    return k_base(at);
}

fn own_step(second: bool) -> u32 {
    if (PART == 0u) {
        if (second) { return grad_step(); }
        return q_step();
    }
    if (second) { return v_step(); }
    return k_step();
}

fn other_base(second: bool, at: Head) -> u32 {
    if (PART != 0u) {
        if (second) { return grad_base(at); }
        return q_base(at);
    }
    if (second) { return v_base(at); }
    return k_base(at);
}

fn other_step(second: bool) -> u32 {
    if (PART != 0u) {
        if (second) { return grad_step(); }
        return q_step();
    }
    if (second) { return v_step(); }
    return k_step();
}

// Own rows from `own` on, the others' range, and the problems and heads (of q) over which is summed.
struct Walk {
    inside: bool,
    own: u32,
    others: vec2<u32>,
    batches: vec2<u32>,
    heads: vec2<u32>,
}

fn walk_at(tile: u32, own_size: u32, other_size: u32) -> Walk {
    if (PART == 0u) {
        let tiles = (length_q() + own_size - 1u) / own_size;
        let all = tile / tiles;
        let own = (tile % tiles) * own_size;
        let b = all / heads();
        let h = all % heads();
        let keys = keys_of(own, min(own + own_size, length_q()));
        return Walk(all < batches() * heads(), own, keys, vec2<u32>(b, b + 1u), vec2<u32>(h, h + 1u));
    }
    let tiles = (length_k() + own_size - 1u) / own_size;
    var all = tile / tiles;
    let own = (tile % tiles) * own_size;
    var queries = queries_of(own, min(own + own_size, length_k()));
    if (PART == 1u) {
        let kv_heads = heads() / group();
        let b = all / kv_heads;
        let h = all % kv_heads * group();
        return Walk(b < batches(), own, queries, vec2<u32>(b, b + 1u), vec2<u32>(h, h + group()));
    }
    if (BIAS_ROWS) {
        // One tile of queries, whether they are seen or not: its gradient has to be written.
        let across = (length_q() + other_size - 1u) / other_size;
        let other = all % across * other_size;
        queries = vec2<u32>(other, min(other + other_size, length_q()));
        all /= across;
    }
    var inside = true;
    var b = vec2<u32>(0u, batches());
    var h = vec2<u32>(0u, heads());
    if (BIAS_HEADS) {
        h = vec2<u32>(all % heads(), all % heads() + 1u);
        all /= heads();
    }
    if (BIAS_BATCH) {
        b = vec2<u32>(all, all + 1u);
        inside = all < batches();
    } else {
        inside = all == 0u;
    }
    return Walk(inside, own, queries, b, h);
}

// Weights, after dropout, and the gradients of scores.
struct Gradients {
    weights: vec4<f32>,
    gradients: vec4<f32>,
}

// Of four own rows and the same other one, from the products of query and key, and of gradient and value.
fn gradients(at: Head, own: vec4<u32>, other: vec4<u32>, product: vec4<f32>, g: vec4<f32>) -> Gradients {
    let i = select(other, own, vec4<bool>(PART == 0u));
    let j = select(own, other, vec4<bool>(PART == 0u));
    let row = min(i, vec4<u32>(length_q() - 1u));
    let l = log_base(at) + row * log_step();
    let d = sum_base(at) + row * sum_step();
    let top = vec4<f32>(log_at(l.x), log_at(l.y), log_at(l.z), log_at(l.w));
    let delta = vec4<f32>(sum_at(d.x), sum_at(d.y), sum_at(d.z), sum_at(d.w));
    let p = weights(scores(at, i, j, product), top);
    var z = vec4<f32>(1.0);
    if (DROPPED) {
        z = kept(at, i, j);
    }
    return Gradients(p * z, p * (z * g - delta));
}

// Stores the bias's gradient of four keys and query `i`.
fn store_bias(walk: Walk, keys: vec4<u32>, i: u32, x: vec4<f32>) {
    if (BIAS_ROWS && i >= length_q()) {
        return;
    }
    let at = head_at(walk.batches.x * heads() + walk.heads.x);
    // A row, or the only one.
    let line = bias_row(at, select(0u, i, BIAS_ROWS));
    for (var r = 0u; r < 4u; r += 1u) {
        if (keys[r] < length_k()) {
            out[line + keys[r]] = x[r];
        }
    }
}
