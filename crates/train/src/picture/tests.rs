use std::path::Path;

use super::*;
use crate::error::{DataError, TrainError};
use crate::testing::{TempDir, names};

/// A colour JPEG of 24x16: red above, blue below, written by libjpeg (scripts/golden/picture.py).
const JPEG: &[u8] = include_bytes!("../../tests/data/red_over_blue.jpg");

fn gradient(width: usize, height: usize) -> Picture {
    let mut picture = Picture::new(width, height);
    for (at, byte) in picture.pixels_mut().iter_mut().enumerate() {
        *byte = (at * 7 % 256) as u8;
    }
    picture
}

#[test]
fn tensors_become_pictures_and_back() {
    let grey = Picture::from_chw(&[-1.0, 0.0, 1.0, 5.0, f32::NAN, -9.0], [1, 2, 3], [-1.0, 1.0]);
    assert_eq!(grey.pixel(0, 0), BLACK);
    assert_eq!(grey.pixel(1, 0), [128; 3]);
    assert_eq!(grey.pixel(2, 0), WHITE);
    assert_eq!((grey.pixel(0, 1), grey.pixel(1, 1), grey.pixel(2, 1)), (WHITE, BLACK, BLACK));
    let picture = gradient(5, 4);
    let values = picture.to_chw([-1.0, 1.0]);
    assert_eq!(values[0], -1.0 + 2.0 * f32::from(picture.pixel(0, 0)[0]) / 255.0);
    assert_eq!(values[20 + 7], -1.0 + 2.0 * (f32::from(picture.pixel(2, 1)[1]) / 255.0));
    assert_eq!(Picture::from_chw(&values, [3, 4, 5], [-1.0, 1.0]), picture);
    assert_eq!(Picture::filled(1, 1, [255, 0, 0]).to_grey().pixel(0, 0), [76; 3]);
}

#[test]
fn sizes_change_as_told() {
    let picture = gradient(3, 2);
    let large = picture.enlarged(3);
    assert_eq!((large.width(), large.height()), (9, 6));
    assert!((0..54).all(|at| large.pixel(at % 9, at / 9) == picture.pixel(at % 9 / 3, at / 9 / 3)));
    assert_eq!(picture.resized(3, 2), picture);
    // Halves of the ramp 0, 100: PyTorch gives 0, 25, 75, 100.
    let ramp = Picture::from_pixels(2, 1, vec![0, 0, 0, 100, 100, 100]);
    let wide: Vec<u8> = ramp.resized(4, 3).pixels().iter().step_by(3).copied().collect();
    assert_eq!(wide, [0, 25, 75, 100, 0, 25, 75, 100, 0, 25, 75, 100]);
    assert_eq!(ramp.resized(1, 1).pixel(0, 0), [50; 3]);
    assert_eq!(picture.mirrored().pixel(0, 1), picture.pixel(2, 1));
    assert_eq!(picture.mirrored().mirrored(), picture);
    let part = picture.cropped(1, -1, 4, 2, WHITE);
    assert_eq!((part.pixel(0, 0), part.pixel(0, 1), part.pixel(2, 1)), (WHITE, picture.pixel(1, 0), WHITE));
    assert_eq!((Picture::new(0, 3).resized(2, 2), picture.resized(0, 0).width()), (Picture::new(2, 2), 0));
    assert_eq!(Picture::new(0, 3).enlarged(2).mirrored().height(), 6);
}

#[test]
fn grids_hold_every_picture_in_its_place() {
    let pictures: Vec<Picture> = (0..5).map(|i| Picture::filled(4, 3, [i as u8 + 1; 3])).collect();
    let sheet = Picture::grid(&pictures, 2, 1, WHITE);
    assert_eq!((sheet.width(), sheet.height()), (9, 11));
    for (index, [x, y]) in [[0, 0], [5, 0], [0, 4], [5, 4], [0, 8]].into_iter().enumerate() {
        assert_eq!(sheet.pixel(x, y), [index as u8 + 1; 3]);
        assert_eq!(sheet.pixel(x + 3, y + 2), [index as u8 + 1; 3]);
    }
    assert_eq!((sheet.pixel(4, 0), sheet.pixel(0, 3), sheet.pixel(8, 10)), (WHITE, WHITE, WHITE));
    assert_eq!(Picture::grid(&[], 3, 2, WHITE).width(), 0);
}

#[test]
fn boxes_are_drawn_inwards_and_cut_off() {
    let mut picture = Picture::new(8, 6);
    picture.outline([1.0, 1.0, 6.0, 5.0], GREEN, 1);
    let drawn = |p: &Picture| p.pixels().chunks(3).filter(|p| *p != BLACK).count();
    assert_eq!(drawn(&picture), 14);
    assert_eq!((picture.pixel(1, 1), picture.pixel(5, 4), picture.pixel(2, 2)), (GREEN, GREEN, BLACK));
    for corners in [[f32::NAN; 4], [f32::INFINITY, 0.0, f32::NEG_INFINITY, 1e30], [-50.0, -50.0, -40.0, -40.0]] {
        picture.outline(corners, RED, 3); // draws little or nothing, and ends
    }
    let mut small = Picture::new(3, 3);
    small.outline([-5.0, -5.0, 50.0, 50.0], RED, 2);
    assert_eq!(drawn(&small), 0);
    small.outline([0.0, 0.0, 3.0, 3.0], RED, 9);
    assert_eq!(drawn(&small), 9);
}

#[test]
fn masks_are_tinted_and_outlined() {
    let mut picture = Picture::filled(5, 5, [100; 3]);
    let mask: Vec<bool> = (0..25).map(|at| at % 5 >= 1 && at / 5 >= 1 && at % 5 < 4 && at / 5 < 4).collect();
    picture.overlay(&mask, [200, 0, 100], 0.5);
    assert_eq!((picture.pixel(2, 2), picture.pixel(0, 0)), ([150, 50, 100], [100; 3]));
    picture.outline_mask(&mask, WHITE);
    assert_eq!((picture.pixel(1, 1), picture.pixel(2, 2), picture.pixel(0, 2)), (WHITE, [150, 50, 100], [100; 3]));
    let mut full = Picture::new(3, 3);
    full.outline_mask(&[true; 9], WHITE);
    assert_eq!(full, Picture::new(3, 3));
}

#[test]
fn letters_are_legible() {
    let mut picture = Picture::new(11, 7);
    picture.text(0, 0, "T1", WHITE, 1);
    let rows: Vec<String> =
        (0..7).map(|y| (0..11).map(|x| if picture.pixel(x, y) == WHITE { '#' } else { '.' }).collect()).collect();
    let expected =
        ["#####...#..", "..#....##..", "..#.....#..", "..#.....#..", "..#.....#..", "..#.....#..", "..#....###."];
    assert_eq!(rows, expected);
    assert_eq!(Picture::text_size(2, 2), (22, 14));
    // Outside ASCII, outside the picture: nothing happens.
    picture.text(-100, 3, "äöü€", WHITE, 3);
    picture.label(f32::NAN, -1e30, "a long label for a small picture", RED);
    picture.label(1e30, 1e30, "x", RED);
}

#[test]
fn png_files_come_back_as_they_were() {
    let dir = TempDir::new("picture");
    let picture = gradient(17, 9);
    let path = dir.path().join("new/place/a.png");
    picture.save(&path).unwrap();
    assert_eq!(Picture::load(&path).unwrap(), picture);
    assert_eq!(names(path.parent().unwrap()), ["a.png"]);
    assert!(matches!(Picture::new(0, 4).save(&path), Err(TrainError::Io { .. })));
    assert_eq!(Picture::load(&path).unwrap(), picture);
}

/// A PNG file of another colour type.
fn encoded(colour: png::ColorType, depth: png::BitDepth, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    if colour == png::ColorType::Indexed {
        encoder.set_palette(vec![1, 2, 3, 4, 5, 6]);
    }
    encoder.write_header().unwrap().write_image_data(data).unwrap();
    bytes
}

#[test]
fn other_kinds_of_png_are_read() {
    use png::{BitDepth, ColorType};
    let read = |colour, depth, data: &[u8]| Picture::decode(&encoded(colour, depth, data), Path::new("x")).unwrap();
    let expected = |pixels: [u8; 6]| Picture::from_pixels(2, 1, pixels.to_vec());
    assert_eq!(read(ColorType::Grayscale, BitDepth::Eight, &[7, 9]), expected([7, 7, 7, 9, 9, 9]));
    assert_eq!(read(ColorType::Grayscale, BitDepth::One, &[0x40]), expected([0, 0, 0, 255, 255, 255]));
    assert_eq!(read(ColorType::GrayscaleAlpha, BitDepth::Eight, &[7, 0, 9, 1]), expected([7, 7, 7, 9, 9, 9]));
    assert_eq!(read(ColorType::Rgba, BitDepth::Eight, &[1, 2, 3, 0, 4, 5, 6, 9]), expected([1, 2, 3, 4, 5, 6]));
    assert_eq!(read(ColorType::Indexed, BitDepth::Eight, &[1, 0]), expected([4, 5, 6, 1, 2, 3]));
    let sixteen: Vec<u8> = (1..=6u8).flat_map(|v| [v, 99]).collect();
    assert_eq!(read(ColorType::Rgb, BitDepth::Sixteen, &sixteen), expected([1, 2, 3, 4, 5, 6]));
}

#[test]
fn jpeg_files_are_read() {
    let picture = Picture::decode(JPEG, Path::new("x.jpg")).unwrap();
    assert_eq!((picture.width(), picture.height()), (24, 16));
    let near = |colour: Colour, expected: Colour| colour.iter().zip(expected).all(|(a, b)| a.abs_diff(b) < 12);
    assert!(near(picture.pixel(3, 2), [220, 20, 20]), "{:?}", picture.pixel(3, 2));
    assert!(near(picture.pixel(20, 13), [20, 20, 220]), "{:?}", picture.pixel(20, 13));
}

#[test]
fn damaged_files_are_refused_wherever_they_end() {
    let png = gradient(9, 7).encode_png(Path::new("x")).unwrap();
    for (whole, name) in [(png.as_slice(), "x.png"), (JPEG, "x.jpg")] {
        for length in 0..whole.len() {
            let error = Picture::decode(&whole[..length], Path::new(name)).expect_err(name);
            assert!(matches!(error, DataError::Picture { .. }) && error.to_string().contains(name), "{error}");
        }
    }
    // A damaged byte of a PNG is found by its checksum. In a JPEG it may pass; no byte may do worse than an error.
    for at in 0..png.len() {
        let mut bytes = png.clone();
        bytes[at] ^= 0x55;
        assert!(Picture::decode(&bytes, Path::new("x.png")).is_err(), "byte {at}");
    }
    for at in 0..JPEG.len() {
        for mask in [0x01, 0x80, 0xFF] {
            let mut bytes = JPEG.to_vec();
            bytes[at] ^= mask;
            let _ = Picture::decode(&bytes, Path::new("x.jpg"));
        }
    }
    assert!(matches!(Picture::load("no/such/file.png"), Err(DataError::Read { .. })));
    assert!(Picture::decode(b"GIF89a", Path::new("x.gif")).unwrap_err().to_string().contains("neither"));
}

#[test]
fn oversized_files_are_refused_before_anything_is_allocated() {
    // A header that declares 2^31 - 1 by 2^31 - 1 pixels, with a sound checksum.
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\x7f\xff\xff\xff\x7f\xff\xff\xff\x08\x02\0\0\0".to_vec();
    let mut checksum = flate2::Crc::new();
    checksum.update(&bytes[12..]);
    bytes.extend(checksum.sum().to_be_bytes());
    let error = Picture::decode(&bytes, Path::new("x.png")).unwrap_err();
    assert!(matches!(error, DataError::PictureTooLarge { width: 0x7FFF_FFFF, .. }), "{error}");
    // A JPEG whose frame header says 65535 by 65535.
    let mut bytes = JPEG.to_vec();
    let frame = bytes.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    bytes[frame + 5..frame + 9].fill(0xFF);
    let error = Picture::decode(&bytes, Path::new("x.jpg")).unwrap_err();
    assert!(matches!(error, DataError::PictureTooLarge { width: 65535, height: 65535, .. }), "{error}");
}
