//! The operations, one file each.

pub(crate) mod activation;
pub(crate) mod adaptive_pool;
pub(crate) mod arithmetic;
pub(crate) mod attention;
pub(crate) mod axis_map;
pub(crate) mod batch_norm;
pub(crate) mod binary;
pub(crate) mod cast;
pub(crate) mod checkpoint;
pub(crate) mod conv;
pub(crate) mod conv_transpose;
pub(crate) mod cross_entropy;
pub(crate) mod custom;
pub(crate) mod diagonal;
pub(crate) mod einsum;
pub(crate) mod embedding;
pub(crate) mod expand;
pub(crate) mod flip;
pub(crate) mod gather;
pub(crate) mod grid_sample;
pub(crate) mod group_norm;
pub(crate) mod interpolate;
pub(crate) mod layer_norm;
pub mod leaf;
pub(crate) mod local_response_norm;
pub(crate) mod masked;
pub(crate) mod matmul;
pub(crate) mod norm;
pub(crate) mod normalize;
pub(crate) mod one_hot;
pub(crate) mod order;
pub(crate) mod pack;
pub(crate) mod pad;
pub(crate) mod pad_mode;
pub(crate) mod permute;
pub(crate) mod pool;
pub(crate) mod products;
pub(crate) mod random;
pub(crate) mod recurrence;
pub(crate) mod reduce;
pub(crate) mod reduction;
pub(crate) mod repeat;
pub(crate) mod reshape;
pub(crate) mod roi;
pub(crate) mod scatter;
pub(crate) mod search;
pub(crate) mod segment_reduce;
pub(crate) mod segments;
pub(crate) mod select;
pub(crate) mod shuffle;
pub(crate) mod slice;
pub(crate) mod softmax;
pub(crate) mod sort;
pub(crate) mod sparse;
pub(crate) mod split;
pub(crate) mod statistics;
pub(crate) mod take;
pub(crate) mod taps;
pub(crate) mod trigonometry;
pub(crate) mod unary;
pub(crate) mod unfold;
pub(crate) mod unpool;

use crate::OpCase;

/// Every primitive operation of this crate, by the name that [`crate::op::Op::name`] gives. One that is not listed, or that
/// no case covers, fails a test.
pub const NAMES: &[&str] = &[
    "input",
    "state",
    "full",
    "iota",
    "neg",
    "abs",
    "exp",
    "log",
    "sqrt",
    "recip",
    "sin",
    "cos",
    "tanh",
    "expm1",
    "log1p",
    "atan",
    "erf",
    "erfinv",
    "floor",
    "ceil",
    "round",
    "logical_not",
    "is_finite",
    "cast",
    "bitcast",
    "add",
    "sub",
    "mul",
    "div",
    "rem",
    "minimum",
    "maximum",
    "pow",
    "lt",
    "le",
    "equal",
    "not_equal",
    "logical_and",
    "logical_or",
    "logical_xor",
    "shl",
    "shr",
    "select",
    "random_bits",
    "reshape",
    "permute",
    "expand",
    "slice",
    "flip",
    "diagonal",
    "pad",
    "tap_gather",
    "tap_scatter",
    "take",
    "checked_index",
    "with_gradient",
    "stop_gradient",
    "again",
    "sum",
    "prod",
    "max",
    "min",
    "argmax",
    "argmin",
    "squared_deviations",
    "matmul",
    "conv",
    "conv_input_grad",
    "conv_weight_grad",
    "pack",
    "argsort",
    "searchsorted",
    "segments",
    "recurrence",
    "running_argmax",
    "attention",
    "attention_grad",
    "attention_query_grad",
    "attention_key_value_grad",
    "attention_bias_grad",
];

/// Every operation's test cases, file by file. An operation that is built but stands in no case fails a test.
pub fn registry() -> Vec<OpCase> {
    [
        leaf::cases(),
        unary::cases(),
        cast::cases(),
        arithmetic::cases(),
        trigonometry::cases(),
        activation::cases(),
        binary::cases(),
        select::cases(),
        random::cases(),
        reshape::cases(),
        permute::cases(),
        expand::cases(),
        slice::cases(),
        pad::cases(),
        take::cases(),
        taps::cases(),
        custom::cases(),
        checkpoint::cases(),
        reduce::cases(),
        matmul::cases(),
        conv::cases(),
        conv_transpose::cases(),
        pack::cases(),
        pool::cases(),
        unpool::cases(),
        adaptive_pool::cases(),
        interpolate::cases(),
        grid_sample::cases(),
        roi::cases(),
        batch_norm::cases(),
        layer_norm::cases(),
        group_norm::cases(),
        local_response_norm::cases(),
        normalize::cases(),
        softmax::cases(),
        statistics::cases(),
        flip::cases(),
        pad_mode::cases(),
        split::cases(),
        repeat::cases(),
        shuffle::cases(),
        diagonal::cases(),
        unfold::cases(),
        einsum::cases(),
        products::cases(),
        cross_entropy::cases(),
        order::cases(),
        search::cases(),
        segments::cases(),
        gather::cases(),
        scatter::cases(),
        embedding::cases(),
        one_hot::cases(),
        segment_reduce::cases(),
        masked::cases(),
        sort::cases(),
        sparse::cases(),
        recurrence::cases(),
        attention::cases(),
    ]
    .concat()
}
