// Gradients of attention for GPUs run by a CPU: see attention_backward.wgsl for what it computes and for its preamble, and
// attention_tile_software.wgsl, which stands before this with attention_walk.wgsl.

// Adds the others' rows, weighted, to the own rows of the output, which begin at `line`.
fn add_rows(second: bool, size: u32, line: vec4<u32>, inside: vec4<bool>, t: Tile, at: Places, begun: bool, by: f32) {
    for (var n = 0u; n < size; n += 1u) {
        let before = select(vec4<f32>(), load_out(line + n), vec4<bool>(begun));
        store_out(line + n, inside, before + weighted(second, t, at, n) * by);
    }
}

fn clear_rows(size: u32, line: vec4<u32>, inside: vec4<bool>) {
    for (var n = 0u; n < size; n += 1u) {
        store_out(line + n, inside, vec4<f32>());
    }
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let walk = walk_at(workgroup.y * groups.x + workgroup.x, OWN, OTHER);
    if (!walk.inside) {
        return;
    }
    let own = walk.own + lane * 4u + FOUR;
    let own_count = select(length_k(), length_q(), PART == 0u);
    let other_count = select(length_q(), length_k(), PART == 0u);
    let inside = own < vec4<u32>(own_count);
    // The walk of a query's, or a key's, gradient is in one problem.
    let start = head_at(walk.batches.x * heads() + walk.heads.x);
    let row = min(own, vec4<u32>(own_count - 1u));
    let line = out_base(start) + row * out_step();
    let second_line = second_base(start) + row * second_step();
    var begun = false;
    // The gradient of the bias.
    var total: array<vec4<f32>, OTHER>;
    for (var batch = walk.batches.x; batch < walk.batches.y; batch += 1u) {
        for (var head = walk.heads.x; head < walk.heads.y; head += 1u) {
            let at = head_at(batch * heads() + head);
            for (var o = walk.others.x; o < walk.others.y; o += OTHER) {
                let first = places(false, at, own, own_count, o, other_count);
                let second = places(true, at, own, own_count, o, other_count);
                var s = columns(product(false, size(), first));
                var g = columns(product(true, size_v(), second));
                for (var c = 0u; c < OTHER; c += 1u) {
                    let pair = gradients(at, own, vec4<u32>(o + c), s[c], g[c]);
                    s[c] = pair.weights;
                    g[c] = pair.gradients;
                    if (PART == 2u) {
                        // Of one query, or of all.
                        total[select(0u, c, BIAS_ROWS)] += pair.gradients;
                    }
                }
                if (PART != 2u) {
                    add_rows(false, size(), line, inside, tile_of(g), first, begun, scale());
                }
                if (PART == 1u) {
                    add_rows(true, size_v(), second_line, inside, tile_of(s), second, begun, 1.0);
                }
                begun = true;
            }
        }
    }

    if (PART == 2u) {
        for (var c = 0u; c < select(1u, OTHER, BIAS_ROWS); c += 1u) {
            store_bias(walk, own, walk.others.x + c, total[c]);
        }
    } else if (!begun) {
        clear_rows(size(), line, inside);
        if (PART == 1u) {
            clear_rows(size_v(), second_line, inside);
        }
    }
}
