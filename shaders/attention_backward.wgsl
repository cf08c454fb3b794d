// Gradients of attention for GPUs. One kernel: its own rows are queries (the gradient of q), or keys (those of k and v, and
// of the bias); it walks the others, computes tiles of scores and of their gradients, and adds up what its own rows get.
//
// Layout, bindings, preamble: see attention.wgsl, which stands before this with attention_tile.wgsl.
// Workgroup memory: 14.5 KiB.
//
// The preamble also defines
//   PART                                   0 query, 1 key and value, 2 bias
//   BIAS_BATCH, BIAS_HEADS, BIAS_ROWS      whether the bias has these extents (else they are summed over)
//   log_at, sum_at, log_base, log_step, ..  what each row of scores needs, and where it lies

const COLUMNS: u32 = (SIZE + 31u) / 32u;
const COLUMNS_V: u32 = (SIZE_V + 31u) / 32u;

// Adds the stored tile times 32 columns of the others' rows.
fn gather_rows(lane: u32, second: bool, size: u32, c: u32, at: Head, first: u32, count: u32, sums: mat4x4<f32>) -> mat4x4<f32> {
    workgroupBarrier();
    for (var n = lane; n < OTHER * 32u; n += LANES) {
        let column = c * 32u + n % 32u;
        let other = first + n / 32u;
        var x = 0.0;
        if (column < size && other < count) {
            x = other_element(second, other_base(second, at) + other * other_step(second) + column);
        }
        left_tile[n] = x;
    }
    workgroupBarrier();
    return gather(lane, sums);
}

// Stores 32 columns of the invocation's rows, which begin `step` apart.
fn store_rows(lane: u32, start: u32, step: u32, size: u32, c: u32, row: u32, count: u32, sums: mat4x4<f32>, by: f32) {
    for (var r = 0u; r < 4u; r += 1u) {
        for (var x = 0u; x < 4u; x += 1u) {
            let column = c * 32u + lane % ACROSS * 4u + x;
            if (row + r < count && column < size) {
                out[start + (row + r) * step + column] = sums[x][r] * by;
            }
        }
    }
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let walk = walk_at(workgroup.y * groups.x + workgroup.x, OWN, OTHER);
    if (!walk.inside) {
        return;
    }
    let own = walk.own + lane / ACROSS * 4u + vec4<u32>(0u, 1u, 2u, 3u);
    let own_count = select(length_k(), length_q(), PART == 0u);
    let other_count = select(length_q(), length_k(), PART == 0u);
    var first: array<mat4x4<f32>, COLUMNS>;
    var second: array<mat4x4<f32>, COLUMNS_V>;
    // The gradient of the bias.
    var total = mat4x4<f32>();
    for (var batch = walk.batches.x; batch < walk.batches.y; batch += 1u) {
        for (var head = walk.heads.x; head < walk.heads.y; head += 1u) {
            let at = head_at(batch * heads() + head);
            for (var o = walk.others.x; o < walk.others.y; o += OTHER) {
                let s = product(lane, false, SIZE, at, walk.own, own_count, o, other_count);
                let g = product(lane, true, SIZE_V, at, walk.own, own_count, o, other_count);
                var ds: mat4x4<f32>;
                var p: mat4x4<f32>;
                for (var c = 0u; c < 4u; c += 1u) {
                    let pair = gradients(at, own, vec4<u32>(o + lane % ACROSS * 4u + c), s[c], g[c]);
                    p[c] = pair.weights;
                    ds[c] = pair.gradients;
                }
                if (PART == 2u) {
                    total = mat4x4<f32>(total[0] + ds[0], total[1] + ds[1], total[2] + ds[2], total[3] + ds[3]);
                } else {
                    workgroupBarrier();
                    keep_tile(lane, ds);
                    for (var c = 0u; c < COLUMNS; c += 1u) {
                        first[c] = gather_rows(lane, false, SIZE, c, at, o, other_count, first[c]);
                    }
                }
                if (PART == 1u) {
                    workgroupBarrier();
                    keep_tile(lane, p);
                    for (var c = 0u; c < COLUMNS_V; c += 1u) {
                        second[c] = gather_rows(lane, true, SIZE_V, c, at, o, other_count, second[c]);
                    }
                }
            }
        }
    }

    if (PART == 2u) {
        if (BIAS_ROWS) {
            for (var c = 0u; c < 4u; c += 1u) {
                store_bias(walk, own, walk.others.x + lane % ACROSS * 4u + c, total[c]);
            }
        } else {
            workgroupBarrier();
            share(lane, total[0] + total[1] + total[2] + total[3]);
            workgroupBarrier();
            var sum = vec4<f32>();
            for (var x = 0u; x < ACROSS; x += 1u) {
                sum += shared_by(lane, x);
            }
            if (lane % ACROSS == 0u) {
                store_bias(walk, own, 0u, sum);
            }
        }
        return;
    }
    // The walk of a query's, or a key's, gradient is in one problem.
    let at = head_at(walk.batches.x * heads() + walk.heads.x);
    for (var c = 0u; c < COLUMNS; c += 1u) {
        store_rows(lane, out_base(at), out_step(), SIZE, c, own.x, own_count, first[c], scale());
    }
    if (PART == 1u) {
        for (var c = 0u; c < COLUMNS_V; c += 1u) {
            store_rows(lane, second_base(at), second_step(), SIZE_V, c, own.x, own_count, second[c], 1.0);
        }
    }
}
