//! Decoding of the first frame of a GIF.

use ::gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};

use super::{DecodeError, check_size};
use crate::rgb_image::{CHANNELS, RgbImage};

/// Decodes the first frame onto the screen. Uncovered pixels have the transparent color, or the first one.
pub(super) fn decode(bytes: &[u8]) -> Result<RgbImage, DecodeError> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    // The size is checked below, with the same limit as that of the other formats.
    options.set_memory_limit(MemoryLimit::Unlimited);
    let mut decoder = options.read_info(bytes).map_err(explained)?;
    let screen = (usize::from(decoder.width()), usize::from(decoder.height()));
    let frame = decoder.next_frame_info().map_err(explained)?.ok_or(DecodeError::Truncated)?;
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (frame_width, frame_height) = (usize::from(frame.width), usize::from(frame.height));
    let uncovered = frame.transparent.unwrap_or(0);
    // A picture that leaves its screen enlarges it.
    let (width, height) = (screen.0.max(left + frame_width), screen.1.max(top + frame_height));
    check_size(width, height, bytes.len())?;

    let mut indices = vec![0; frame_width * frame_height];
    if !indices.is_empty() {
        decoder.read_into_buffer(&mut indices).map_err(explained)?;
    }
    let palette = decoder.palette().unwrap_or_default();
    let mut pixels = color(palette, uncovered).repeat(width * height);
    for (row, indices) in indices.chunks(frame_width.max(1)).enumerate() {
        let start = ((top + row) * width + left) * CHANNELS;
        for (pixel, &index) in pixels[start..].chunks_exact_mut(CHANNELS).zip(indices) {
            pixel.copy_from_slice(&color(palette, index));
        }
    }
    Ok(RgbImage::new(width, height, pixels)?)
}

/// Without a palette an index is a shade of gray. Indices beyond the end of a palette are black.
fn color(palette: &[u8], index: u8) -> [u8; CHANNELS] {
    if palette.is_empty() {
        return [index; CHANNELS];
    }
    let color = palette.get(usize::from(index) * CHANNELS..).and_then(|rest| rest.first_chunk());
    color.copied().unwrap_or_default()
}

fn explained(error: DecodingError) -> DecodeError {
    match error {
        DecodingError::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => DecodeError::Truncated,
        other => DecodeError::Gif(other),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use ::gif::{Encoder, Frame};

    use super::*;

    const PALETTE: [u8; 12] = [1, 2, 3, 10, 20, 30, 40, 50, 60, 70, 80, 90];

    /// Returns a frame of 2 x 2 pixels at offset (1, 1) on a screen of `width` x `height`.
    fn picture(width: u16, height: u16, transparent: Option<u8>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, width, height, &PALETTE).unwrap();
        let mut frame = Frame::from_indexed_pixels(2, 2, [1, 2, 3, 1].to_vec(), transparent);
        (frame.left, frame.top, frame.palette) = (1, 1, None);
        encoder.write_frame(&frame).unwrap();
        drop(encoder);
        bytes
    }

    #[test]
    fn pixels_outside_of_the_frame_have_the_background_color() {
        for (transparent, color) in [(None, [1, 2, 3]), (Some(3), [70, 80, 90])] {
            let image = decode(&picture(4, 3, transparent)).unwrap();
            assert_eq!((image.width, image.height), (4, 3));
            assert_eq!(image.pixels[..15], color.repeat(5));
            assert_eq!(image.pixels[15..21], [10, 20, 30, 40, 50, 60]);
        }
    }

    #[test]
    fn frame_larger_than_the_screen_enlarges_it() {
        let image = decode(&picture(1, 1, None)).unwrap();
        assert_eq!((image.width, image.height), (3, 3));
        assert_eq!(image.pixels[24..], [10, 20, 30]);
    }

    #[test]
    fn truncated_gif_is_an_error() {
        let bytes = picture(4, 3, None);
        for length in 6..bytes.len() - 3 {
            assert!(decode(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
        }
    }
}
