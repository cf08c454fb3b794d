//! How a contraction is shared out over an adapter.

use crate::kernels::{Contraction, Epilogue};
use crate::{Access, Adapter, AdapterKind, Affine, Coord, DType, Matrices};
use std::ops::Range;

/// Workgroups that a split of the inner axis aims at, and the least inner extent worth a workgroup.
const GPU_FILL: (usize, usize) = (256, 128);
const SOFTWARE_FILL: (usize, usize) = (16, 256);

/// Products below which a contraction on a software adapter takes the one form that serves all, so that small models, and
/// the small parts of large ones, compile one pipeline for what would else be ten: each takes a software adapter some 0.2 s.
const COMMON_BELOW: usize = 4 << 20;
/// Sub-axes of batch, m, n and k in the common form, and guarded coordinates of B.
const COMMON_RANKS: [usize; 4] = [2, 2, 3, 3];
const COMMON_COORDS: usize = 2;

/// The least inner extent for which a workgroup is worth an element of a matrix-vector product.
const ROW_FROM: usize = 64;

/// How many times the elements of C a tiling may have before it is given up.
const WASTE: usize = 4;

/// Tiles of software adapters with what each costs, in no unit: of wide rows, reads of 16 columns and of each row, ten times
/// a product each, and the products.
const LANES: &[(Tile, usize)] = &[
    (Tile::Software { rows: 1 }, 900),
    (Tile::Lanes { rows: 4, wide: true }, 300),
    (Tile::Lanes { rows: 8, wide: true }, 400),
    (Tile::Lanes { rows: 16, wide: true }, 600),
];
const SOFTWARE: &[(Tile, usize)] =
    &[(Tile::Software { rows: 1 }, 900), (Tile::Software { rows: 4 }, 1300), (Tile::Software { rows: 8 }, 1900)];

/// Tiles of GPUs: large square ones read workgroup memory least; narrow ones are for a narrow C, where most of a square one
/// would be rows that are not there; small ones for a C that has few.
const GPU: &[Tile] = &[
    Tile::Gpu { threads: [16, 16], blocks: [2, 2], depth: 8 },
    Tile::Gpu { threads: [8, 8], blocks: [2, 2], depth: 16 },
    Tile::Gpu { threads: [8, 8], blocks: [1, 1], depth: 16 },
    Tile::Gpu { threads: [8, 32], blocks: [1, 1], depth: 16 },
    Tile::Gpu { threads: [32, 8], blocks: [1, 1], depth: 16 },
    Tile::Gpu { threads: [4, 64], blocks: [1, 1], depth: 8 },
    Tile::Gpu { threads: [64, 4], blocks: [1, 1], depth: 8 },
];

/// What a workgroup computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tile {
    /// See `contraction_direct.wgsl`: invocations of a workgroup, one element each.
    Direct { size: usize },
    /// See `contraction_row.wgsl`: invocations of a workgroup, one element together; whether they are one subgroup.
    Row { size: usize, subgroup: bool },
    /// See `contraction_lanes.wgsl`.
    Lanes { rows: usize, wide: bool },
    /// See `contraction_software.wgsl`.
    Software { rows: usize },
    /// See `contraction_matrix.wgsl`: the size of a matrix, lanes of a subgroup, and whether the hardware multiplies.
    Matrix { size: usize, lanes: usize, hardware: bool },
    /// See `contraction.wgsl`: invocations and blocks of 4 x 4 elements along m and n, and the step along k.
    Gpu { threads: [usize; 2], blocks: [usize; 2], depth: usize },
}

impl Tile {
    /// Rows and columns.
    pub fn size(self) -> [usize; 2] {
        match self {
            Tile::Direct { .. } | Tile::Row { .. } => [1, 1],
            Tile::Lanes { rows, wide } => [rows, if wide { 16 } else { 8 }],
            Tile::Software { rows } => [rows, 64],
            Tile::Matrix { size, .. } => [4 * size, 8 * size],
            Tile::Gpu { threads, blocks, .. } => [4 * threads[0] * blocks[0], 4 * threads[1] * blocks[1]],
        }
    }

    /// Whether most of the tiles of an `m` x `n` matrix would be empty.
    pub fn wastes(self, m: usize, n: usize) -> bool {
        let [rows, cols] = self.size();
        m.next_multiple_of(rows) * n.next_multiple_of(cols) >= m * n * WASTE
    }

    /// All tiles of the tables that an adapter can use for a contraction.
    pub fn all(contraction: &Contraction, adapter: &Adapter) -> Vec<Tile> {
        match (adapter.kind == AdapterKind::Software, adapter.subgroup) {
            (true, 8) => LANES.iter().map(|t| t.0).collect(),
            (true, _) => SOFTWARE.iter().map(|t| t.0).collect(),
            (false, _) => Tile::matrix(contraction, adapter).into_iter().chain(GPU.iter().copied()).collect(),
        }
    }

    /// The tile for a software adapter, and what `m` x `n` elements cost with it.
    fn software(m: usize, n: usize, subgroup: usize) -> (Tile, usize) {
        let tiles: &[(Tile, usize)] = if subgroup == 8 { LANES } else { SOFTWARE };
        let cost = |&(tile, each): &(Tile, usize)| {
            let [rows, cols] = tile.size();
            (tile, each * m.div_ceil(rows) * n.div_ceil(cols))
        };
        tiles.iter().map(cost).min_by_key(|(_, cost)| *cost).expect("the tables are not empty")
    }

    /// The tile of cooperative matrices, where the adapter has them and the operands are f16.
    fn matrix(c: &Contraction, adapter: &Adapter) -> Option<Tile> {
        let (size, hardware) = match adapter.matrices {
            Matrices::None => return None,
            Matrices::Hardware(size) => (size, true),
            Matrices::Emulated(size) => (size, false),
        };
        (c.operands == [DType::F16; 2]).then_some(Tile::Matrix { size, lanes: adapter.subgroup, hardware })
    }

    /// The tile for a GPU: that of the least cost in the table.
    fn gpu(batches: usize, m: usize, n: usize, k: usize, kind: AdapterKind) -> Tile {
        let fill = if kind == AdapterKind::Integrated { GPU_FILL.0 / 4 } else { GPU_FILL.0 };
        let cost = |tile: Tile| {
            let [rows, cols] = tile.size();
            let tiles = (batches * m.div_ceil(rows) * n.div_ceil(cols)) as f64;
            // Products, and what is read for them: rows + cols for rows * cols.
            let work = (rows * cols) as f64 + 16.0 * (rows + cols) as f64;
            // A GPU that is not full takes as long as a full one. A long inner axis may be split.
            let groups = tiles * (k / GPU_FILL.1).max(1) as f64;
            work * tiles * (fill as f64 / groups).max(1.0)
        };
        *GPU.iter().min_by(|&&a, &&b| cost(a).total_cmp(&cost(b))).expect("the table is not empty")
    }
}

/// A contraction in its simplest form. All accesses are functions of all sub-axes, in the order batch, m, n, k.
pub(super) struct Plan {
    /// Extents of the sub-axes; neighbours of one group that everything walks as one are merged.
    pub axes: Vec<usize>,
    /// The groups: batch, m, n, k. None is empty.
    pub groups: [Range<usize>; 4],
    pub a: Access,
    pub b: Access,
    pub c: Affine,
    pub epilogue: Option<Epilogue>,
    /// Whether this is the common form: all sub-axes and guards are there, needed or not.
    pub common: bool,
    /// Whether A and B (and with them m and n) have changed places.
    pub swapped: bool,
    pub tile: Tile,
    /// Parts of the inner axis, each summed by workgroups of its own.
    pub splits: usize,
    /// Extent of each part but the last.
    pub part: usize,
}

impl Plan {
    /// What is right by the tables above.
    pub fn usual(contraction: &Contraction, adapter: &Adapter) -> Plan {
        let software = adapter.kind == AdapterKind::Software;
        let (batches, m, n, k) = contraction.sizes();
        // A software tile has more columns than rows: of a tall, narrow C the transpose is computed.
        let of_software = |m, n| Tile::software(m, n, adapter.subgroup);
        let common = software && adapter.subgroup == 8 && batches * m * n * k < COMMON_BELOW;
        let swapped = software && !common && of_software(n, m).1 < of_software(m, n).1;
        let (m, n) = if swapped { (n, m) } else { (m, n) };
        let of_matrices = Tile::matrix(contraction, adapter);
        let mut tile = match (software, common) {
            (_, true) => Tile::Lanes { rows: 8, wide: false },
            (true, false) => of_software(m, n).0,
            (false, false) if of_matrices.is_some() => of_matrices.expect("just asked"),
            (false, false) => Tile::gpu(batches, m, n, k, adapter.kind),
        };
        // Of a tile that would be mostly empty, the elements that are there.
        if !common && tile.wastes(m, n) {
            tile = Tile::Direct { size: if software { 8 } else { 64 } };
        }
        let mut plan = Plan::whole(contraction, tile, swapped, common);
        if plan.is_by_vector() && k >= ROW_FROM && !(software && adapter.subgroup != 8) {
            plan.tile = Tile::Row { size: if software { 8 } else { 64 }, subgroup: software };
        }
        plan.split(software);
        plan
    }

    /// With another tile, and A and B exchanged or not.
    pub fn with(contraction: &Contraction, adapter: &Adapter, tile: Tile, swapped: bool) -> Plan {
        let mut plan = Plan::whole(contraction, tile, swapped, false);
        plan.split(adapter.kind == AdapterKind::Software);
        plan
    }

    fn whole(contraction: &Contraction, tile: Tile, swapped: bool, common: bool) -> Plan {
        let least = if common { COMMON_RANKS } else { [1; 4] };
        let (axes, groups, a, mut b, c, epilogue) = simplest(contraction, swapped, least);
        if common {
            let always = Coord { affine: Affine::constant(axes.len(), 0), div: 1, len: 1, stride: 0 };
            let missing = COMMON_COORDS.saturating_sub(b.coords.len());
            b.coords.extend(std::iter::repeat_n(always, missing));
        }
        let part = contraction.sizes().3;
        Plan { axes, groups, a, b, c, epilogue, common, swapped, tile, splits: 1, part }
    }

    /// Splits the inner axis where the tiles alone would not fill the adapter.
    fn split(&mut self, software: bool) {
        let [rows, cols] = self.tile.size();
        let tiles = match self.tile {
            Tile::Direct { size } => self.elements().div_ceil(size),
            _ => self.size(0) * self.size(1).div_ceil(rows) * self.size(2).div_ceil(cols),
        };
        let k = self.size(3);
        let (fill, least) = if software { SOFTWARE_FILL } else { GPU_FILL };
        let wanted = (fill / tiles.max(1)).min(k / least).max(1);
        self.part = k.div_ceil(wanted).next_multiple_of(16);
        self.splits = k.div_ceil(self.part.max(1)).max(1);
    }

    /// Whether this is the product of a matrix and a vector, and the matrix lies along k.
    fn is_by_vector(&self) -> bool {
        match (self.common, self.size(1), self.size(2)) {
            (false, 1, _) => self.along_k(&self.b, 2),
            (false, _, 1) => self.along_k(&self.a, 1),
            _ => false,
        }
    }

    /// The extents of a group.
    pub fn extents(&self, group: usize) -> &[usize] {
        &self.axes[self.groups[group].clone()]
    }

    /// The extent of a whole group.
    pub fn size(&self, group: usize) -> usize {
        self.extents(group).iter().product()
    }

    /// Elements of C.
    pub fn elements(&self) -> usize {
        self.size(0) * self.size(1) * self.size(2)
    }

    /// Whether four neighbours of an operand (along k, or along its other group) can be read at once: they lie together and
    /// begin at a multiple of four, wherever they are.
    pub fn fours(&self, access: &Access, other: usize) -> bool {
        matches!(self.tile, Tile::Gpu { .. } | Tile::Matrix { .. }) && self.lies_in_fours(access, other)
    }

    /// As [`Plan::fours`], whatever the tile.
    pub fn lies_in_fours(&self, access: &Access, other: usize) -> bool {
        let group = if self.along_k(access, other) { 3 } else { other };
        let last = self.groups[group].end - 1;
        let base = &access.base;
        let aligned = |d: usize| d == last || self.axes[d] == 1 || base.strides[d] % 4 == 0;
        access.coords.is_empty()
            && base.strides[last] == 1
            && base.offset % 4 == 0
            && self.axes[last] % 4 == 0
            && (0..self.axes.len()).all(aligned)
    }

    /// Whether neighbouring elements of an operand differ in k rather than in its other group.
    pub fn along_k(&self, access: &Access, other: usize) -> bool {
        let step = |group: usize| {
            let d = self.groups[group].end - 1;
            let coords = access.coords.iter().map(|c| c.affine.strides[d] * c.stride);
            let step = (access.base.strides[d] + coords.sum::<i64>()).unsigned_abs();
            if self.axes[d] == 1 || step == 0 { u64::MAX } else { step }
        };
        step(3) < step(other)
    }
}

type Simplest = (Vec<usize>, [Range<usize>; 4], Access, Access, Affine, Option<Epilogue>);

/// Extends every affine function to all sub-axes and merges sub-axes within each group, which then have `least` of them or
/// more.
fn simplest(contraction: &Contraction, swapped: bool, least: [usize; 4]) -> Simplest {
    let (m, n) = if swapped { (&contraction.n, &contraction.m) } else { (&contraction.m, &contraction.n) };
    let ranks = [contraction.batch.len(), m.len(), n.len(), contraction.k.len()];
    let mut axes = [&contraction.batch[..], m, n, &contraction.k].concat();
    let mut groups = vec![];
    let mut at = 0;
    for rank in ranks {
        groups.push(at..at + rank);
        at += rank;
    }

    // The groups that each operand's access walks, in its own order.
    let extend = |affine: &mut Affine, walked: &[usize]| {
        let mut strides = vec![0; axes.len()];
        let mut own = affine.strides.iter();
        for &g in walked {
            for d in groups[g].clone() {
                strides[d] = *own.next().expect("one stride for each sub-axis");
            }
        }
        affine.strides = strides;
    };
    let (first, second) = (&contraction.a, &contraction.b);
    let (mut a, mut b) = if swapped { (second.clone(), first.clone()) } else { (first.clone(), second.clone()) };
    let (a_walk, b_walk) = if swapped { ([0, 3, 1], [0, 2, 3]) } else { ([0, 1, 3], [0, 3, 2]) };
    a.affines_mut().for_each(|f| extend(f, &a_walk));
    b.affines_mut().for_each(|f| extend(f, &b_walk));
    let c_walk = if swapped { [0, 2, 1] } else { [0, 1, 2] };
    let mut c = contraction.c.clone();
    extend(&mut c, &c_walk);
    let mut epilogue = contraction.epilogue.clone();
    if let Some(e) = &mut epilogue {
        e.expr.affines_mut().into_iter().for_each(|f| extend(f, &c_walk));
    }

    let mut affines: Vec<&mut Affine> = a.affines_mut().chain(b.affines_mut()).collect();
    affines.push(&mut c);
    if let Some(e) = &mut epilogue {
        affines.extend(e.expr.affines_mut());
    }
    let mut merged = vec![];
    let mut start = 0;
    for (rank, least) in ranks.into_iter().zip(least) {
        let mut end = start + rank;
        let mut d = start;
        while d < end {
            let into_next =
                d + 1 < end && affines.iter().all(|f| f.strides[d] == f.strides[d + 1] * axes[d + 1] as i64);
            if axes[d] == 1 || into_next {
                let n = axes.remove(d);
                affines.iter_mut().for_each(|f| {
                    f.strides.remove(d);
                });
                end -= 1;
                if into_next {
                    axes[d] *= n;
                }
            } else {
                d += 1;
            }
        }
        while end < start + least {
            axes.insert(start, 1);
            affines.iter_mut().for_each(|f| f.strides.insert(start, 0));
            end += 1;
        }
        merged.push(start..end);
        start = end;
    }
    let groups = merged.try_into().expect("four groups");
    (axes, groups, a, b, c, epilogue)
}
