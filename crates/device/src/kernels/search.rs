//! Places of values in sorted rows.

use crate::gpu::codegen::{Shader, workgroup_size};
use crate::{Adapter, Cost, CpuIo, DType, Kernel, Operand, Pass, cpu, fold_groups};

/// `out[r][i]` is how many elements of the ascending row r are less than `values[r][i]`, or not greater. Inputs: the sorted
/// rows, the values; all u32. In a row that is not sorted the result is some number from 0 to `len`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Search {
    /// Rows.
    pub rows: usize,
    /// Elements of a sorted row.
    pub len: usize,
    /// Values of a row.
    pub values: usize,
    /// Whether elements equal to the value are counted.
    pub after_equals: bool,
}

impl Kernel for Search {
    fn name(&self) -> String {
        format!("search {}x{} in {}", self.rows, self.values, self.len)
    }

    fn run_cpu(&self, io: &CpuIo) {
        cpu::index::search(self, io);
    }

    fn passes(&self, adapter: &Adapter, _aliases: &[Option<usize>]) -> Vec<Pass> {
        let count = self.rows * self.values;
        if count == 0 {
            return vec![];
        }
        let size = workgroup_size(adapter);
        let (mut shader, mut text) = (Shader::new(), format!("const SIZE = {size}u;\n"));
        shader.bind(Operand::Input(0), "sorted", DType::U32, false);
        shader.bind(Operand::Input(1), "values", DType::U32, false);
        shader.bind(Operand::Output(0), "positions", DType::U32, true);
        shader.constant(&mut text, "value_count", count);
        shader.constant(&mut text, "values_of_row", self.values);
        shader.constant(&mut text, "row_length", self.len);
        shader.constant(&mut text, "after_equals", self.after_equals as usize);
        text += wgrad_shaders::SEARCH;
        vec![shader.finish("search".into(), &text, fold_groups(count.div_ceil(size)))]
    }

    fn cost(&self) -> Cost {
        Cost { flops: 0.0, bytes: 4.0 * (self.rows * (self.len + 2 * self.values)) as f64 }
    }
}
