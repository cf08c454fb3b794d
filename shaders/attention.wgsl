// What the kernels of attention share: which query and key see each other, scores, dropout, gradients of scores.
//
// Layout: rows of q, k, v and the result's gradient lie where the preamble says (`q_base` and so on give where a head's first
// row begins, `q_step` how far rows are apart), their elements together; results and gradients likewise.
// Bindings: 0 params; then q, k, v; backward also `grad` (the result's gradient), for each row of scores its logarithm
// (`logs`) and the sum of result times gradient (`sums`; or after the logarithms, in one buffer); words and bias if any; the output `out`.
//
// The preamble defines
//   SIZE, SIZE_V                           elements of a key, of a value; size, size_v for GPUs run by a CPU: there the
//                                          compiler would unroll loops of known length, which takes it long
//   MASK_AT                                where the mask begins in the words
//   MASKED, DROPPED, BIASED                options
//   batches, heads, group, length_q, length_k   sizes; a group of heads of q shares one of k and v
//   scale, offset, left, right             of scores, and of the window
//   stream, rounds, threshold, factor      of dropout
//   word, bias_at                          read the words and the bias (0 where there is none)
//   bias_row                               where a row of the bias begins
//   q_base, k_base, v_base, grad_base, q_step, ..   where rows are read
//   out_base, out_step, second_base, second_step    where rows are written: the only output, or the gradients of k and v

// A score that is not there. Not infinity, which an implementation may assume away.
const LEAST: f32 = -3.4028234e38;

// A head of q, counted in its problem and over all.
struct Head {
    batch: u32,
    head: u32,
    all: u32,
    kv: u32,
}

fn head_at(all: u32) -> Head {
    let batch = all / heads();
    let head = all - batch * heads();
    return Head(batch, head, all, batch * (heads() / group()) + head / group());
}

// The keys that the window leaves to queries i to end - 1.
fn keys_of(i: u32, end: u32) -> vec2<u32> {
    let n = i32(length_k());
    let to = clamp(i32(end) + offset() + right(), 0i, n);
    return vec2<u32>(vec2<i32>(clamp(i32(i) + offset() - left(), 0i, to), to));
}

// The queries to which the window leaves any of keys j to end - 1.
fn queries_of(j: u32, end: u32) -> vec2<u32> {
    let n = i32(length_q());
    let to = clamp(i32(end) - offset() + left(), 0i, n);
    return vec2<u32>(vec2<i32>(clamp(i32(j) - offset() - right(), 0i, to), to));
}

// The scores of query i and key j, for four pairs, from their products.
fn scores(at: Head, i: vec4<u32>, j: vec4<u32>, products: vec4<f32>) -> vec4<f32> {
    let distance = vec4<i32>(j) - vec4<i32>(i) - vec4<i32>(offset());
    var seen = (distance >= vec4<i32>(-left())) & (distance <= vec4<i32>(right()));
    seen &= (i < vec4<u32>(length_q())) & (j < vec4<u32>(length_k()));
    // Places past the end read the last element.
    let jj = min(j, vec4<u32>(length_k() - 1u));
    if (MASKED) {
        let k = MASK_AT + at.batch * length_k() + jj;
        seen &= vec4<u32>(word(k.x), word(k.y), word(k.z), word(k.w)) != vec4<u32>(0u);
    }
    var s = products * scale();
    if (BIASED) {
        let ii = min(i, vec4<u32>(length_q() - 1u));
        let b = vec4<u32>(bias_row(at, ii.x), bias_row(at, ii.y), bias_row(at, ii.z), bias_row(at, ii.w)) + jj;
        s += vec4<f32>(bias_at(b.x), bias_at(b.y), bias_at(b.z), bias_at(b.w));
        s = max(s, vec4<f32>(LEAST));
    }
    return select(vec4<f32>(LEAST), s, seen);
}

// e^(s - shift) where there is a score.
fn weights(s: vec4<f32>, shift: vec4<f32>) -> vec4<f32> {
    return select(vec4<f32>(), exp(s - shift), s > vec4<f32>(LEAST));
}

// What dropout multiplies the weights of four pairs with.
fn kept(at: Head, i: vec4<u32>, j: vec4<u32>) -> vec4<f32> {
    let element = (at.all * length_q() + i) * length_k() + j;
    var bits: vec4<u32>;
    for (var c = 0u; c < 4u; c += 1u) {
        bits[c] = philox(word(0u), word(1u), element[c], stream(), word(2u), rounds()).x >> 8u;
    }
    return select(vec4<f32>(), vec4<f32>(factor()), bits >= vec4<u32>(threshold()));
}

// a + x * transpose(y)
fn add_outer(a: mat4x4<f32>, x: vec4<f32>, y: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(a[0] + x * y.x, a[1] + x * y.y, a[2] + x * y.z, a[3] + x * y.w);
}
