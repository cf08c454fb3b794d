//! The IDX format of MNIST and its kin, plain or gzipped.
//!
//! A big-endian header (two zero bytes, a type code, the number of dimensions, each dimension as u32) and then the
//! values. Nothing in the header is believed before the file bears it out: sizes are computed with checks, and no
//! memory is set aside for values that have not been read.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::error::DataError;

/// An array of bytes with its dimensions, slowest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idx {
    /// The size along each dimension.
    pub dims: Vec<usize>,
    /// The values, row-major: as many as the product of `dims`.
    pub data: Vec<u8>,
}

/// Reads an IDX file of unsigned bytes. Whether it is gzipped is seen from its content, not from its name.
///
/// # Errors
/// When the file cannot be read, is not IDX, holds other values than bytes, is damaged, or is longer or shorter than
/// its header says.
pub fn read_idx(path: impl AsRef<Path>) -> Result<Idx, DataError> {
    let path = path.as_ref();
    let read = |source| DataError::Read { path: path.into(), source };
    let file = File::open(path).map_err(read)?;
    let size = file.metadata().map_err(read)?.len();
    let mut file = BufReader::new(file);
    if starts_as_gzip(&mut file).map_err(read)? {
        read_from(path, &mut MultiGzDecoder::new(file), 0, |source| DataError::Gzip { path: path.into(), source })
    } else {
        read_from(path, &mut file, size, read)
    }
}

fn starts_as_gzip(file: &mut BufReader<File>) -> io::Result<bool> {
    Ok(io::BufRead::fill_buf(file)?.starts_with(&[0x1f, 0x8b]))
}

/// Reads header and values from `reader`; `known` bytes are certain to be there and may be set aside at once.
fn read_from(
    path: &Path,
    reader: &mut impl Read,
    known: u64,
    failed: impl Fn(io::Error) -> DataError,
) -> Result<Idx, DataError> {
    let mut header = Vec::new();
    reader.take(4).read_to_end(&mut header).map_err(&failed)?;
    let found = header.len() as u64;
    let &[zero, also_zero, code, rank] = header.as_slice() else {
        return Err(DataError::Truncated { path: path.into(), expected: 4, found });
    };
    if zero != 0 || also_zero != 0 || rank == 0 {
        let found = u32::from_be_bytes([zero, also_zero, code, rank]);
        return Err(DataError::NotIdx { path: path.into(), found });
    }
    if code != 0x08 {
        return Err(DataError::IdxType { path: path.into(), found: type_name(code) });
    }

    let header_size = 4 + 4 * u64::from(rank);
    let mut sizes = Vec::new();
    reader.take(header_size - 4).read_to_end(&mut sizes).map_err(&failed)?;
    if (sizes.len() as u64) < header_size - 4 {
        let found = 4 + sizes.len() as u64;
        return Err(DataError::Truncated { path: path.into(), expected: header_size, found });
    }
    let dims: Vec<usize> =
        sizes.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize).collect();
    let too_large = || DataError::IdxTooLarge { path: path.into(), dims: dims.clone() };
    let count = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).ok_or_else(too_large)?;
    if count > isize::MAX as usize - header_size as usize - 1 {
        return Err(too_large());
    }

    let expected = header_size + count as u64;
    let mut data = Vec::with_capacity(count.min(known as usize));
    // One more byte than declared: it must not be there. For gzip this also reaches the end, where the sum is checked.
    reader.take(count as u64 + 1).read_to_end(&mut data).map_err(failed)?;
    if data.len() < count {
        let found = header_size + data.len() as u64;
        return Err(DataError::Truncated { path: path.into(), expected, found });
    }
    if data.len() > count {
        return Err(DataError::Trailing { path: path.into(), expected });
    }
    Ok(Idx { dims, data })
}

fn type_name(code: u8) -> String {
    match code {
        0x09 => "i8".into(),
        0x0b => "i16".into(),
        0x0c => "i32".into(),
        0x0d => "f32".into(),
        0x0e => "f64".into(),
        _ => format!("unknown (type {code:#04x})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Idx, DataError> {
        let dir = TempDir::new("idx");
        let path = dir.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        read_idx(&path)
    }

    const SOUND: &[u8] = &[0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6];

    #[test]
    fn reads_plain_and_gzip() {
        let expected = Idx { dims: vec![2, 3], data: vec![1, 2, 3, 4, 5, 6] };
        assert_eq!(read(SOUND).unwrap(), expected);
        assert_eq!(read(&gzip(SOUND)).unwrap(), expected);
    }

    #[test]
    fn empty_arrays_are_sound() {
        assert_eq!(read(&[0, 0, 8, 1, 0, 0, 0, 0]).unwrap(), Idx { dims: vec![0], data: vec![] });
    }

    #[test]
    fn every_truncation_is_told() {
        for cut in 0..SOUND.len() {
            let error = read(&SOUND[..cut]).unwrap_err();
            assert!(matches!(error, DataError::Truncated { found, .. } if found == cut as u64), "{cut}: {error}");
            let error = read(&gzip(&SOUND[..cut])).unwrap_err();
            assert!(matches!(error, DataError::Truncated { found, .. } if found == cut as u64), "gz {cut}: {error}");
        }
        let packed = gzip(SOUND);
        for cut in 2..packed.len() {
            let error = read(&packed[..cut]).unwrap_err();
            assert!(matches!(error, DataError::Gzip { .. }), "gz cut at {cut}: {error}");
        }
    }

    #[test]
    fn trailing_bytes_are_told() {
        let mut long = SOUND.to_vec();
        long.push(0);
        assert!(matches!(read(&long), Err(DataError::Trailing { expected: 18, .. })));
        assert!(matches!(read(&gzip(&long)), Err(DataError::Trailing { expected: 18, .. })));
        let mut packed = gzip(SOUND);
        packed.extend_from_slice(b"junk");
        assert!(matches!(read(&packed), Err(DataError::Gzip { .. })));
    }

    #[test]
    fn wrong_magic_and_type_are_told() {
        let mut bytes = SOUND.to_vec();
        bytes[0] = 1;
        assert!(matches!(read(&bytes), Err(DataError::NotIdx { found: 0x0100_0802, .. })));
        assert!(matches!(read(b"<html><body>404</body></html>"), Err(DataError::NotIdx { .. })));
        assert!(matches!(read(&[0, 0, 8, 0]), Err(DataError::NotIdx { .. })));
        let mut bytes = SOUND.to_vec();
        bytes[2] = 0x0d;
        assert!(read(&bytes).unwrap_err().to_string().contains("holds f32 values"));
    }

    #[test]
    fn absurd_sizes_set_nothing_aside() {
        let mut huge = vec![0, 0, 8, 3];
        huge.extend_from_slice(&[0xff; 12]);
        assert!(matches!(read(&huge), Err(DataError::IdxTooLarge { .. })));
        // 16 exabytes less a little fit into an address, but not into this file: setting them aside would abort.
        let mut large = vec![0, 0, 8, 2];
        large.extend_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x80, 0, 0, 0]);
        assert!(matches!(read(&large), Err(DataError::Truncated { .. })));
        assert!(matches!(read(&gzip(&large)), Err(DataError::Truncated { .. })));
    }

    #[test]
    fn damaged_gzip_is_told() {
        let mut packed = gzip(SOUND);
        let last = packed.len() - 5;
        packed[last] ^= 1; // in the checksum
        assert!(matches!(read(&packed), Err(DataError::Gzip { .. })));
        assert!(matches!(read(&[0x1f, 0x8b, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), Err(DataError::Gzip { .. })));
    }

    #[test]
    fn a_missing_file_or_a_directory_is_told() {
        let dir = TempDir::new("idx");
        let error = read_idx(dir.path().join("none")).unwrap_err();
        assert!(error.to_string().contains("none"), "{error}");
        assert!(matches!(read_idx(dir.path()), Err(DataError::Read { .. })));
    }
}
