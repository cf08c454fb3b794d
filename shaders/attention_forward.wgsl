// Attention for GPUs: tiles of queries and keys in workgroup memory, a running maximum and sum for each row.
//
// Layout, bindings, preamble: see attention.wgsl, which stands before this. Output: the result, then for each row the
// logarithm of its sum.
// Tile: 128 invocations take 64 queries, and 32 keys at a time; an invocation has 4 x 4 scores, and 4 rows of 4 columns
// of each 32 columns of the result. Workgroup memory: 14.5 KiB.
//
// The preamble also defines
//   LOG_AT                                 where the logarithms begin in the output

const COLUMNS: u32 = (SIZE_V + 31u) / 32u;

fn own_element(second: bool, at: u32) -> f32 {
    return q[at];
}

fn other_element(second: bool, at: u32) -> f32 {
    return k[at];
}

fn own_base(second: bool, at: Head) -> u32 {
    return q_base(at);
}

fn own_step(second: bool) -> u32 {
    return q_step();
}

fn other_base(second: bool, at: Head) -> u32 {
    return k_base(at);
}

fn other_step(second: bool) -> u32 {
    return k_step();
}

@compute @workgroup_size(LANES)
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
    let row = first + lane / ACROSS * 4u;
    let rows4 = row + vec4<u32>(0u, 1u, 2u, 3u);
    let range = keys_of(first, min(first + OWN, length_q()));

    var top = vec4<f32>(LEAST);
    // Of this invocation's own keys; added up over the row at the end.
    var sum = vec4<f32>();
    var result: array<mat4x4<f32>, COLUMNS>;
    for (var j = range.x; j < range.y; j += OTHER) {
        var s = product(lane, false, SIZE, at, first, length_q(), j, length_k());
        let key = j + lane % ACROSS * 4u;
        s = mat4x4<f32>(
            scores(at, rows4, vec4<u32>(key), s[0]),
            scores(at, rows4, vec4<u32>(key + 1u), s[1]),
            scores(at, rows4, vec4<u32>(key + 2u), s[2]),
            scores(at, rows4, vec4<u32>(key + 3u), s[3]),
        );
        workgroupBarrier();
        share(lane, max(max(s[0], s[1]), max(s[2], s[3])));
        workgroupBarrier();
        let old = top;
        for (var x = 0u; x < ACROSS; x += 1u) {
            top = max(top, shared_by(lane, x));
        }
        // Bounded, so that nothing is infinite; the sum is 0 where this is far from exact.
        let shrink = exp(max(old - top, vec4<f32>(-100.0)));
        s = mat4x4<f32>(weights(s[0], top), weights(s[1], top), weights(s[2], top), weights(s[3], top));
        sum = sum * shrink + s[0] + s[1] + s[2] + s[3];
        if (DROPPED) {
            for (var c = 0u; c < 4u; c += 1u) {
                s[c] *= kept(at, rows4, vec4<u32>(key + c));
            }
        }
        keep_tile(lane, s);
        for (var c = 0u; c < COLUMNS; c += 1u) {
            workgroupBarrier();
            for (var n = lane; n < OTHER * 32u; n += LANES) {
                let column = c * 32u + n % 32u;
                let other = j + n / 32u;
                var x = 0.0;
                if (column < SIZE_V && other < length_k()) {
                    x = v[v_base(at) + other * v_step() + column];
                }
                left_tile[n] = x;
            }
            workgroupBarrier();
            let r = result[c];
            result[c] = gather(lane, mat4x4<f32>(r[0] * shrink, r[1] * shrink, r[2] * shrink, r[3] * shrink));
        }
    }

    workgroupBarrier();
    share(lane, sum);
    workgroupBarrier();
    var total = vec4<f32>();
    for (var x = 0u; x < ACROSS; x += 1u) {
        total += shared_by(lane, x);
    }
    let empty = total == vec4<f32>();
    let inverse = select(1.0 / total, vec4<f32>(), empty);
    let logs = select(top + log(total), vec4<f32>(LEAST), empty);
    for (var r = 0u; r < 4u; r += 1u) {
        if (row + r < length_q()) {
            let line = out_base(at) + (row + r) * out_step();
            if (lane % ACROSS == 0u) {
                out[LOG_AT() + at.all * length_q() + row + r] = logs[r];
            }
            for (var c = 0u; c < COLUMNS; c += 1u) {
                let column = c * 32u + lane % ACROSS * 4u;
                for (var x = 0u; x < 4u; x += 1u) {
                    if (column + x < SIZE_V) {
                        out[line + column + x] = result[c][x][r] * inverse[r];
                    }
                }
            }
        }
    }
}
