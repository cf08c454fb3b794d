//! Boxes, what a data set says of them, and what a model says.

/// A box by its sides.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rect {
    /// Its least x.
    pub left: f32,
    /// Its least y.
    pub top: f32,
    /// Its greatest x.
    pub right: f32,
    /// Its greatest y.
    pub bottom: f32,
}

impl Rect {
    /// From the sides.
    pub fn new(left: f32, top: f32, right: f32, bottom: f32) -> Self {
        Self { left, top, right, bottom }
    }

    /// From centre and size.
    pub fn from_centre(x: f32, y: f32, width: f32, height: f32) -> Self {
        Self::new(x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0)
    }

    /// From the top left corner and the size.
    pub fn from_corner(left: f32, top: f32, width: f32, height: f32) -> Self {
        Self::new(left, top, left + width, top + height)
    }

    /// From left to right.
    pub fn width(&self) -> f32 {
        self.right - self.left
    }

    /// From top to bottom.
    pub fn height(&self) -> f32 {
        self.bottom - self.top
    }

    /// The middle, x and y.
    pub fn centre(&self) -> [f32; 2] {
        [(self.left + self.right) / 2.0, (self.top + self.bottom) / 2.0]
    }

    /// Left, top, right, bottom.
    pub fn corners(&self) -> [f32; 4] {
        [self.left, self.top, self.right, self.bottom]
    }

    /// Its area; 0 where a side is negative, or NaN.
    pub fn area(&self) -> f64 {
        let side = |from: f32, to: f32| (f64::from(to) - f64::from(from)).max(0.0);
        side(self.left, self.right) * side(self.top, self.bottom)
    }

    /// The area that two boxes share.
    pub fn intersection(&self, other: &Self) -> f64 {
        self.cut(other).area()
    }

    /// Shared area by joint area: 1 for equal boxes, 0 for those that do not meet (or have no area).
    pub fn iou(&self, other: &Self) -> f64 {
        let shared = self.intersection(other);
        let joint = self.area() + other.area() - shared;
        if joint > 0.0 { shared / joint } else { 0.0 }
    }

    /// The part inside `other`. Of boxes that do not meet, a side is negative; NaN stays NaN.
    pub fn cut(&self, other: &Self) -> Self {
        let greater = |a: f32, b: f32| if a >= b || a.is_nan() { a } else { b };
        let less = |a: f32, b: f32| if a <= b || a.is_nan() { a } else { b };
        Self::new(
            greater(self.left, other.left),
            greater(self.top, other.top),
            less(self.right, other.right),
            less(self.bottom, other.bottom),
        )
    }

    /// Moved, after its coordinates are multiplied.
    pub fn mapped(&self, scale: [f32; 2], shift: [f32; 2]) -> Self {
        let x = |x: f32| x * scale[0] + shift[0];
        let y = |y: f32| y * scale[1] + shift[1];
        Self::new(x(self.left), y(self.top), x(self.right), y(self.bottom))
    }
}

/// An object as a data set has it: the truth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Object {
    /// Where it is.
    pub rect: Rect,
    /// What it is: a number below the data set's number of classes.
    pub class: usize,
    /// Neither to be learnt nor to be judged: a crowd (COCO), or marked as difficult (Pascal VOC).
    pub ignored: bool,
    /// Its own area, where that is known better than by its box: COCO's area of the mask.
    pub area: Option<f32>,
}

impl Object {
    /// An object of this class.
    pub fn new(rect: Rect, class: usize) -> Self {
        Self { rect, class, ignored: false, area: None }
    }
}

/// An object as a model has found it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// Where.
    pub rect: Rect,
    /// What.
    pub class: usize,
    /// How sure.
    pub score: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps() {
        let a = Rect::new(0.0, 0.0, 4.0, 2.0);
        assert_eq!(a.iou(&a), 1.0);
        assert_eq!(a.iou(&Rect::new(2.0, 1.0, 4.0, 5.0)), 2.0 / 14.0);
        assert_eq!(a.iou(&Rect::new(4.0, 0.0, 8.0, 2.0)), 0.0);
        assert_eq!(a.iou(&Rect::new(9.0, 9.0, 8.0, 8.0)), 0.0);
        assert_eq!(Rect::default().iou(&Rect::default()), 0.0);
        let lost = Rect::new(f32::NAN, f32::NAN, f32::NAN, f32::NAN);
        assert_eq!((a.iou(&lost), lost.iou(&lost)), (0.0, 0.0));
        assert_eq!(Rect::from_centre(2.0, 1.0, 4.0, 2.0), a);
        assert_eq!(Rect::from_corner(0.0, 0.0, 4.0, 2.0), a);
        assert_eq!((a.centre(), a.width(), a.height(), a.area()), ([2.0, 1.0], 4.0, 2.0, 8.0));
    }
}
