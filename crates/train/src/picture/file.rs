//! Pictures in files: PNG written whole or not at all, PNG and JPEG read.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::Picture;
use crate::atomic;
use crate::error::{DataError, TrainError};

/// A picture file may not declare more pixels than this: 8192 by 8192.
pub const MAX_PIXELS: usize = 1 << 26;
/// Nor may the file itself be larger: uncompressed, 16 bits, with alpha.
const MAX_BYTES: u64 = 8 * MAX_PIXELS as u64;

impl Picture {
    /// The picture as the content of a PNG file.
    ///
    /// # Errors
    /// When the picture has no pixels: PNG has no such thing. `path` is for the message only.
    pub fn encode_png(&self, path: &Path) -> Result<Vec<u8>, TrainError> {
        let encode = || -> Result<Vec<u8>, std::io::Error> {
            let size = |n: usize| u32::try_from(n).map_err(std::io::Error::other);
            let mut bytes = Vec::new();
            let mut encoder = png::Encoder::new(&mut bytes, size(self.width)?, size(self.height)?);
            encoder.set_color(png::ColorType::Rgb);
            encoder.set_depth(png::BitDepth::Eight);
            encoder.set_compression(png::Compression::Balanced);
            let mut writer = encoder.write_header()?;
            writer.write_image_data(&self.pixels)?;
            writer.finish()?;
            Ok(bytes)
        };
        encode().map_err(atomic::io("encode the picture", path))
    }

    /// Writes the picture as a PNG file. Its directory is made if it is missing. Until the file is whole, the old one
    /// stays.
    ///
    /// # Errors
    /// When the picture has no pixels, or the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), TrainError> {
        let path = path.as_ref();
        let bytes = self.encode_png(path)?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(atomic::io("make the directory", parent))?;
        }
        atomic::write(path, &bytes)
    }

    /// Reads a PNG or JPEG file; which of the two is told by its first bytes. Grey becomes equal channels, 16 bits
    /// become 8, and alpha is dropped.
    ///
    /// # Errors
    /// When the file cannot be read, is neither PNG nor JPEG, declares more than [`MAX_PIXELS`], or is damaged.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let wrong = |source| DataError::Read { path: path.into(), source };
        let file = File::open(path).map_err(wrong)?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(wrong)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(DataError::Picture { path: path.into(), reason: format!("more than {MAX_BYTES} bytes") });
        }
        Self::decode(&bytes, path)
    }

    /// As [`load`](Self::load), of a file's content. `path` is for messages only.
    ///
    /// # Errors
    /// As `load`'s.
    pub fn decode(bytes: &[u8], path: &Path) -> Result<Self, DataError> {
        match bytes {
            [0x89, b'P', b'N', b'G', ..] => decode_png(bytes, path),
            [0xFF, 0xD8, 0xFF, ..] => decode_jpeg(bytes, path),
            _ => Err(DataError::Picture { path: path.into(), reason: "it is neither a PNG nor a JPEG file".into() }),
        }
    }
}

fn damaged(path: &Path, reason: impl ToString) -> DataError {
    DataError::Picture { path: path.into(), reason: reason.to_string() }
}

/// Asked of a header, before anything of its size is allocated.
fn check_size(width: usize, height: usize, path: &Path) -> Result<(), DataError> {
    if width.checked_mul(height).is_none_or(|pixels| pixels > MAX_PIXELS) {
        return Err(DataError::PictureTooLarge { path: path.into(), width, height, limit: MAX_PIXELS });
    }
    Ok(())
}

fn decode_png(bytes: &[u8], path: &Path) -> Result<Picture, DataError> {
    let limits = png::Limits { bytes: MAX_BYTES as usize };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let wrong = |error: png::DecodingError| damaged(path, error);
    let header = decoder.read_header_info().map_err(wrong)?;
    let (width, height) = (header.width as usize, header.height as usize);
    check_size(width, height, path)?;
    let mut reader = decoder.read_info().map_err(wrong)?;
    let size = reader.output_buffer_size().ok_or_else(|| damaged(path, "its size cannot be addressed"))?;
    let mut raw = vec![0; size];
    let frame = reader.next_frame(&mut raw).map_err(wrong)?;
    reader.finish().map_err(wrong)?; // a file that was cut off after its last row is cut off all the same
    raw.truncate(frame.buffer_size());
    let channels = frame.color_type.samples();
    let pixels = match channels {
        3 => raw,
        1 | 2 => raw.chunks_exact(channels).flat_map(|p| [p[0]; 3]).collect(),
        _ => raw.chunks_exact(channels).flat_map(|p| [p[0], p[1], p[2]]).collect(),
    };
    whole(width, height, pixels, path)
}

fn decode_jpeg(bytes: &[u8], path: &Path) -> Result<Picture, DataError> {
    // Real collections hold files with stray bytes, which strictness would refuse. But a file that was cut off would be
    // filled up with grey: so the end is looked for. Within a scan's data no marker occurs by chance.
    let scan = bytes.windows(2).rposition(|pair| pair == [0xFF, 0xDA]).unwrap_or(0);
    if !bytes[scan..].windows(2).any(|pair| pair == [0xFF, 0xD9]) {
        return Err(damaged(path, "the JPEG file is cut off"));
    }
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(MAX_PIXELS)
        .set_max_height(MAX_PIXELS)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| damaged(path, error))?;
    let info = decoder.info().ok_or_else(|| damaged(path, "it has no header"))?;
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    check_size(width, height, path)?;
    let pixels = decoder.decode().map_err(|error| damaged(path, error))?;
    whole(width, height, pixels, path)
}

/// What a decoder gave, if it is as much as the header said.
fn whole(width: usize, height: usize, pixels: Vec<u8>, path: &Path) -> Result<Picture, DataError> {
    if width == 0 || height == 0 || pixels.len() != width * height * 3 {
        return Err(damaged(path, format!("{} bytes for {width}x{height} pixels", pixels.len())));
    }
    Ok(Picture { width, height, pixels })
}
