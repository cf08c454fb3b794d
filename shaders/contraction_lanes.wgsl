// C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n], for GPUs run by a CPU (lavapipe) whose subgroups have 8 lanes.
//
// Such an adapter runs a subgroup as one vector, and a read by 8 lanes costs some twenty times what a product of vectors
// does, wherever the lanes read. So a workgroup is one subgroup, which reads 8 elements of each row of A along k, and 8
// along n of each row of B; an element of A then goes from its lane to all, which is one instruction. No workgroup memory,
// no barrier. Steps of 8 along k are written out: a sum that crosses a loop's iteration is masked, others are not.
//
// Layout: whatever the generated readers and writer say.
// Tile: ROWS (4, 8 or 16) x 16 elements of C, or x 8; a lane has the columns lane and lane + 8.
// Bindings: 0 params; then A, B, the epilogue's inputs, and C (or the partial sums), all in the preamble.
//
// The preamble defines
//   ROWS, tile_rows              rows of a tile, as a constant and as a parameter
//   WIDE                         whether there are the second 8 columns
//   Tile, tile_at                what a workgroup has to do
//   row_count, col_count         the extents of C
//   Batch, Row, Col, Inner       sub-axis coordinates, from batch_at, row_at, col_at, inner_at
//   APart, a_line, a_step, a_at  reads A: the part of the position that depends on (b, m), that on k, and both together
//   BPart, b_line, b_step, b_at  the same for B, with (b, n)
//   b_step_of_0 ... b_step_of_7  the k-dependent part that a lane holds, given to all lanes
//   store                        writes a sum

// One element of B; what is past the end of the inner axis counts as 0.
fn b_or_zero(line: BPart, step: BPart, inside: bool) -> f32 {
    return select(0.0, b_at(line, step), inside);
}

// Stores a row's sums of the columns n and n + 8, where they are there.
fn store_row(tile: Tile, m: u32, n: u32, b: Batch, row: Row, left: Col, right: Col, sums: vec2<f32>) {
    if (n < col_count()) {
        store(tile, m, n, b, row, left, sums.x);
    }
    if (WIDE && n + 8u < col_count()) {
        store(tile, m, n + 8u, b, row, right, sums.y);
    }
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = tile_at(group.y * groups.x + group.x);
    if (!tile.inside) {
        return;
    }
    let batch = batch_at(tile.batch);
    let last_row = row_count() - 1u;
    let last_col = col_count() - 1u;

    // Lines past the edge repeat the last one; what comes of them is not stored.
    let left = b_line(batch, col_at(min(tile.col + lane, last_col)));
    let right = b_line(batch, col_at(min(tile.col + lane + 8u, last_col)));
    let a0 = a_line(batch, row_at(min(tile.row + 0u, last_row)));
    let a1 = a_line(batch, row_at(min(tile.row + 1u, last_row)));
    let a2 = a_line(batch, row_at(min(tile.row + 2u, last_row)));
    let a3 = a_line(batch, row_at(min(tile.row + 3u, last_row)));
    let a4 = a_line(batch, row_at(min(tile.row + 4u, last_row)));
    let a5 = a_line(batch, row_at(min(tile.row + 5u, last_row)));
    let a6 = a_line(batch, row_at(min(tile.row + 6u, last_row)));
    let a7 = a_line(batch, row_at(min(tile.row + 7u, last_row)));
    let a8 = a_line(batch, row_at(min(tile.row + 8u, last_row)));
    let a9 = a_line(batch, row_at(min(tile.row + 9u, last_row)));
    let a10 = a_line(batch, row_at(min(tile.row + 10u, last_row)));
    let a11 = a_line(batch, row_at(min(tile.row + 11u, last_row)));
    let a12 = a_line(batch, row_at(min(tile.row + 12u, last_row)));
    let a13 = a_line(batch, row_at(min(tile.row + 13u, last_row)));
    let a14 = a_line(batch, row_at(min(tile.row + 14u, last_row)));
    let a15 = a_line(batch, row_at(min(tile.row + 15u, last_row)));

    // Sums of row r: of the left column, of the right one.
    var s0 = vec2<f32>();
    var s1 = vec2<f32>();
    var s2 = vec2<f32>();
    var s3 = vec2<f32>();
    var s4 = vec2<f32>();
    var s5 = vec2<f32>();
    var s6 = vec2<f32>();
    var s7 = vec2<f32>();
    var s8 = vec2<f32>();
    var s9 = vec2<f32>();
    var s10 = vec2<f32>();
    var s11 = vec2<f32>();
    var s12 = vec2<f32>();
    var s13 = vec2<f32>();
    var s14 = vec2<f32>();
    var s15 = vec2<f32>();
    for (var k = tile.begin; k < tile.end; k += 8u) {
        // This lane's place along k, for A, and for B after it was handed round.
        let inside = k + lane < tile.end;
        let inner = inner_at(select(tile.end - 1u, k + lane, inside));
        let step = a_step(inner);
        let steps = b_step(inner);
        let step0 = b_step_of_0(steps);
        let step1 = b_step_of_1(steps);
        let step2 = b_step_of_2(steps);
        let step3 = b_step_of_3(steps);
        let step4 = b_step_of_4(steps);
        let step5 = b_step_of_5(steps);
        let step6 = b_step_of_6(steps);
        let step7 = b_step_of_7(steps);
        let l0 = b_or_zero(left, step0, k + 0u < tile.end);
        let l1 = b_or_zero(left, step1, k + 1u < tile.end);
        let l2 = b_or_zero(left, step2, k + 2u < tile.end);
        let l3 = b_or_zero(left, step3, k + 3u < tile.end);
        let l4 = b_or_zero(left, step4, k + 4u < tile.end);
        let l5 = b_or_zero(left, step5, k + 5u < tile.end);
        let l6 = b_or_zero(left, step6, k + 6u < tile.end);
        let l7 = b_or_zero(left, step7, k + 7u < tile.end);
        let b0 = vec2<f32>(l0, b_or_zero(right, step0, WIDE && k + 0u < tile.end));
        let b1 = vec2<f32>(l1, b_or_zero(right, step1, WIDE && k + 1u < tile.end));
        let b2 = vec2<f32>(l2, b_or_zero(right, step2, WIDE && k + 2u < tile.end));
        let b3 = vec2<f32>(l3, b_or_zero(right, step3, WIDE && k + 3u < tile.end));
        let b4 = vec2<f32>(l4, b_or_zero(right, step4, WIDE && k + 4u < tile.end));
        let b5 = vec2<f32>(l5, b_or_zero(right, step5, WIDE && k + 5u < tile.end));
        let b6 = vec2<f32>(l6, b_or_zero(right, step6, WIDE && k + 6u < tile.end));
        let b7 = vec2<f32>(l7, b_or_zero(right, step7, WIDE && k + 7u < tile.end));
        // Eight products by themselves first: of long sums fewer digits are lost.
        let x0 = select(0.0, a_at(a0, step), inside);
        s0 += subgroupBroadcast(x0, 0u) * b0 + subgroupBroadcast(x0, 1u) * b1
            + subgroupBroadcast(x0, 2u) * b2 + subgroupBroadcast(x0, 3u) * b3
            + subgroupBroadcast(x0, 4u) * b4 + subgroupBroadcast(x0, 5u) * b5
            + subgroupBroadcast(x0, 6u) * b6 + subgroupBroadcast(x0, 7u) * b7;
        let x1 = select(0.0, a_at(a1, step), inside);
        s1 += subgroupBroadcast(x1, 0u) * b0 + subgroupBroadcast(x1, 1u) * b1
            + subgroupBroadcast(x1, 2u) * b2 + subgroupBroadcast(x1, 3u) * b3
            + subgroupBroadcast(x1, 4u) * b4 + subgroupBroadcast(x1, 5u) * b5
            + subgroupBroadcast(x1, 6u) * b6 + subgroupBroadcast(x1, 7u) * b7;
        let x2 = select(0.0, a_at(a2, step), inside);
        s2 += subgroupBroadcast(x2, 0u) * b0 + subgroupBroadcast(x2, 1u) * b1
            + subgroupBroadcast(x2, 2u) * b2 + subgroupBroadcast(x2, 3u) * b3
            + subgroupBroadcast(x2, 4u) * b4 + subgroupBroadcast(x2, 5u) * b5
            + subgroupBroadcast(x2, 6u) * b6 + subgroupBroadcast(x2, 7u) * b7;
        let x3 = select(0.0, a_at(a3, step), inside);
        s3 += subgroupBroadcast(x3, 0u) * b0 + subgroupBroadcast(x3, 1u) * b1
            + subgroupBroadcast(x3, 2u) * b2 + subgroupBroadcast(x3, 3u) * b3
            + subgroupBroadcast(x3, 4u) * b4 + subgroupBroadcast(x3, 5u) * b5
            + subgroupBroadcast(x3, 6u) * b6 + subgroupBroadcast(x3, 7u) * b7;
        if (ROWS > 4u) {
            let x4 = select(0.0, a_at(a4, step), inside);
            s4 += subgroupBroadcast(x4, 0u) * b0 + subgroupBroadcast(x4, 1u) * b1
                + subgroupBroadcast(x4, 2u) * b2 + subgroupBroadcast(x4, 3u) * b3
                + subgroupBroadcast(x4, 4u) * b4 + subgroupBroadcast(x4, 5u) * b5
                + subgroupBroadcast(x4, 6u) * b6 + subgroupBroadcast(x4, 7u) * b7;
            let x5 = select(0.0, a_at(a5, step), inside);
            s5 += subgroupBroadcast(x5, 0u) * b0 + subgroupBroadcast(x5, 1u) * b1
                + subgroupBroadcast(x5, 2u) * b2 + subgroupBroadcast(x5, 3u) * b3
                + subgroupBroadcast(x5, 4u) * b4 + subgroupBroadcast(x5, 5u) * b5
                + subgroupBroadcast(x5, 6u) * b6 + subgroupBroadcast(x5, 7u) * b7;
            let x6 = select(0.0, a_at(a6, step), inside);
            s6 += subgroupBroadcast(x6, 0u) * b0 + subgroupBroadcast(x6, 1u) * b1
                + subgroupBroadcast(x6, 2u) * b2 + subgroupBroadcast(x6, 3u) * b3
                + subgroupBroadcast(x6, 4u) * b4 + subgroupBroadcast(x6, 5u) * b5
                + subgroupBroadcast(x6, 6u) * b6 + subgroupBroadcast(x6, 7u) * b7;
            let x7 = select(0.0, a_at(a7, step), inside);
            s7 += subgroupBroadcast(x7, 0u) * b0 + subgroupBroadcast(x7, 1u) * b1
                + subgroupBroadcast(x7, 2u) * b2 + subgroupBroadcast(x7, 3u) * b3
                + subgroupBroadcast(x7, 4u) * b4 + subgroupBroadcast(x7, 5u) * b5
                + subgroupBroadcast(x7, 6u) * b6 + subgroupBroadcast(x7, 7u) * b7;
        }
        if (ROWS > 8u) {
            let x8 = select(0.0, a_at(a8, step), inside);
            s8 += subgroupBroadcast(x8, 0u) * b0 + subgroupBroadcast(x8, 1u) * b1
                + subgroupBroadcast(x8, 2u) * b2 + subgroupBroadcast(x8, 3u) * b3
                + subgroupBroadcast(x8, 4u) * b4 + subgroupBroadcast(x8, 5u) * b5
                + subgroupBroadcast(x8, 6u) * b6 + subgroupBroadcast(x8, 7u) * b7;
            let x9 = select(0.0, a_at(a9, step), inside);
            s9 += subgroupBroadcast(x9, 0u) * b0 + subgroupBroadcast(x9, 1u) * b1
                + subgroupBroadcast(x9, 2u) * b2 + subgroupBroadcast(x9, 3u) * b3
                + subgroupBroadcast(x9, 4u) * b4 + subgroupBroadcast(x9, 5u) * b5
                + subgroupBroadcast(x9, 6u) * b6 + subgroupBroadcast(x9, 7u) * b7;
            let x10 = select(0.0, a_at(a10, step), inside);
            s10 += subgroupBroadcast(x10, 0u) * b0 + subgroupBroadcast(x10, 1u) * b1
                + subgroupBroadcast(x10, 2u) * b2 + subgroupBroadcast(x10, 3u) * b3
                + subgroupBroadcast(x10, 4u) * b4 + subgroupBroadcast(x10, 5u) * b5
                + subgroupBroadcast(x10, 6u) * b6 + subgroupBroadcast(x10, 7u) * b7;
            let x11 = select(0.0, a_at(a11, step), inside);
            s11 += subgroupBroadcast(x11, 0u) * b0 + subgroupBroadcast(x11, 1u) * b1
                + subgroupBroadcast(x11, 2u) * b2 + subgroupBroadcast(x11, 3u) * b3
                + subgroupBroadcast(x11, 4u) * b4 + subgroupBroadcast(x11, 5u) * b5
                + subgroupBroadcast(x11, 6u) * b6 + subgroupBroadcast(x11, 7u) * b7;
            let x12 = select(0.0, a_at(a12, step), inside);
            s12 += subgroupBroadcast(x12, 0u) * b0 + subgroupBroadcast(x12, 1u) * b1
                + subgroupBroadcast(x12, 2u) * b2 + subgroupBroadcast(x12, 3u) * b3
                + subgroupBroadcast(x12, 4u) * b4 + subgroupBroadcast(x12, 5u) * b5
                + subgroupBroadcast(x12, 6u) * b6 + subgroupBroadcast(x12, 7u) * b7;
            let x13 = select(0.0, a_at(a13, step), inside);
            s13 += subgroupBroadcast(x13, 0u) * b0 + subgroupBroadcast(x13, 1u) * b1
                + subgroupBroadcast(x13, 2u) * b2 + subgroupBroadcast(x13, 3u) * b3
                + subgroupBroadcast(x13, 4u) * b4 + subgroupBroadcast(x13, 5u) * b5
                + subgroupBroadcast(x13, 6u) * b6 + subgroupBroadcast(x13, 7u) * b7;
            let x14 = select(0.0, a_at(a14, step), inside);
            s14 += subgroupBroadcast(x14, 0u) * b0 + subgroupBroadcast(x14, 1u) * b1
                + subgroupBroadcast(x14, 2u) * b2 + subgroupBroadcast(x14, 3u) * b3
                + subgroupBroadcast(x14, 4u) * b4 + subgroupBroadcast(x14, 5u) * b5
                + subgroupBroadcast(x14, 6u) * b6 + subgroupBroadcast(x14, 7u) * b7;
            let x15 = select(0.0, a_at(a15, step), inside);
            s15 += subgroupBroadcast(x15, 0u) * b0 + subgroupBroadcast(x15, 1u) * b1
                + subgroupBroadcast(x15, 2u) * b2 + subgroupBroadcast(x15, 3u) * b3
                + subgroupBroadcast(x15, 4u) * b4 + subgroupBroadcast(x15, 5u) * b5
                + subgroupBroadcast(x15, 6u) * b6 + subgroupBroadcast(x15, 7u) * b7;
        }
    }

    // Compiling a store takes long, with an epilogue as long as all the rest, so that there are 4 and not 32 (of a narrow tile, which
    // is the form of small products, 1 and not 8), and the sums move up to them. The bound is a parameter lest the compiler
    // should unroll the loop.
    let end = min(tile.row + tile_rows(), row_count());
    let n = tile.col + lane;
    let at_left = col_at(n);
    let at_right = col_at(n + 8u);
    if (!WIDE) {
        for (var m = tile.row; m < end; m += 1u) {
            store_row(tile, m, n, batch, row_at(m), at_left, at_right, s0);
            s0 = s1;
            s1 = s2;
            s2 = s3;
            s3 = s4;
            s4 = s5;
            s5 = s6;
            s6 = s7;
        }
        return;
    }
    for (var m = tile.row; m < end; m += 2u) {
        store_row(tile, m, n, batch, row_at(m), at_left, at_right, s0);
        if (m + 1u < end) {
            store_row(tile, m + 1u, n, batch, row_at(m + 1u), at_left, at_right, s1);
        }
        s0 = s2;
        s1 = s3;
        s2 = s4;
        s3 = s5;
        s4 = s6;
        s5 = s7;
        s6 = s8;
        s7 = s9;
        s8 = s10;
        s9 = s11;
        s10 = s12;
        s11 = s13;
        s12 = s14;
        s13 = s15;
    }
}
