// What contraction_matrix.wgsl wants of the hardware, by plain loops: for tests on adapters without cooperative matrices. Every
// lane holds whole matrices and does the same.

struct Left {
    x: array<f32, SIZE * SIZE>,
}

struct Right {
    x: array<f32, SIZE * SIZE>,
}

struct Sums {
    x: array<f32, SIZE * SIZE>,
}

fn load_left(at: u32) -> Left {
    var left: Left;
    for (var e = 0u; e < AREA; e += 1u) {
        left.x[e] = f32(tile_a[at + e / SIZE * STRIDE_A + e % SIZE]);
    }
    return left;
}

fn load_right(at: u32) -> Right {
    var right: Right;
    for (var e = 0u; e < AREA; e += 1u) {
        right.x[e] = f32(tile_b[at + e / SIZE * STRIDE_B + e % SIZE]);
    }
    return right;
}

fn load_sums(at: u32) -> Sums {
    var sums: Sums;
    for (var e = 0u; e < AREA; e += 1u) {
        sums.x[e] = results[at + e];
    }
    return sums;
}

fn store_sums(sums: Sums, at: u32) {
    var copy = sums;
    for (var e = 0u; e < AREA; e += 1u) {
        results[at + e] = copy.x[e];
    }
}

fn product(left: Left, right: Right, sums: Sums) -> Sums {
    var a = left;
    var b = right;
    var c = sums;
    for (var e = 0u; e < AREA; e += 1u) {
        for (var k = 0u; k < SIZE; k += 1u) {
            c.x[e] += a.x[e / SIZE * SIZE + k] * b.x[k * SIZE + e % SIZE];
        }
    }
    return c;
}
