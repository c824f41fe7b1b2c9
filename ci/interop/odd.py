"""Generate image files in unusual formats, which photos do not cover."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 53, 37


def write_all(folder):
    """Write the files and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, content in {**jpegs(), **pngs(), **gifs(), **others(), **shapes()}.items():
        files.append(folder / name)
        files[-1].write_bytes(content)
    return files


def pixels(channels, width=WIDTH, height=HEIGHT, top=256, dtype=np.uint8):
    """Return smooth colors with some noise, `[height, width, channels]`."""
    y, x, c = np.mgrid[0:height, 0:width, 0:channels]
    waves = 0.5 + 0.4 * np.sin(x / 7 + c) * np.cos(y / 5 - 2 * c)
    noise = np.random.default_rng(channels).uniform(-0.1, 0.1, waves.shape)
    return np.clip((waves + noise) * top, 0, top - 1).astype(dtype)


def picture(mode, width=WIDTH, height=HEIGHT):
    """Return a Pillow image of a mode."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    values = pixels(channels, width, height)
    return Image.fromarray(values[:, :, 0] if channels == 1 else values, mode)


def saved(image, format, **options):
    """Return the bytes of an image file that Pillow writes."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def jpegs():
    rgb, orientation = picture("RGB"), Image.Exif()
    orientation[0x0112] = 6
    files = {
        "grey.jpg": saved(picture("L"), "JPEG"),
        "cmyk.jpg": saved(picture("CMYK"), "JPEG", quality=95),
        "cmyk-subsampled.jpg": saved(picture("CMYK"), "JPEG", quality=70, subsampling=2),
        "turned-by-exif.jpg": saved(rgb, "JPEG", exif=orientation),
        "progressive.jpg": saved(rgb, "JPEG", progressive=True),
        "coarse.jpg": saved(rgb, "JPEG", quality=5),
        "best.jpg": saved(rgb, "JPEG", quality=100),
        "restarts.jpg": saved(rgb, "JPEG", restart_marker_blocks=3),
        "rgb-without-ycc.jpg": saved(rgb, "JPEG", keep_rgb=True),
    }
    for name, subsampling in [("444", 0), ("422", 1), ("420", 2)]:
        files[f"{name}.jpg"] = saved(rgb, "JPEG", subsampling=subsampling)
    return files


def pngs():
    palette = picture("RGB").quantize(13)
    files = {
        "palette.png": saved(palette, "PNG"),
        "palette-one-transparent.png": saved(palette, "PNG", transparency=3),
        "palette-translucent.png": saved(palette, "PNG", transparency=bytes(range(0, 130, 10))),
        "one-bit.png": saved(picture("L").convert("1"), "PNG"),
        "grey-transparent.png": saved(picture("L"), "PNG", transparency=90),
        "rgb-transparent.png": saved(picture("RGB"), "PNG", transparency=(10, 20, 30)),
        "rgba.png": saved(picture("RGBA"), "PNG"),
        "grey-alpha.png": saved(picture("LA"), "PNG"),
        "grey-16.png": png(pixels(1, top=65536, dtype=np.uint16), 16, 0),
        "grey-16-dark.png": png(pixels(1, top=600, dtype=np.uint16), 16, 0),
        "rgb-16.png": png(pixels(3, top=65536, dtype=np.uint16), 16, 2),
        "grey-alpha-16.png": png(pixels(2, top=65536, dtype=np.uint16), 16, 4),
        "rgba-16.png": png(pixels(4, top=65536, dtype=np.uint16), 16, 6),
        "interlaced.png": png(pixels(3), 8, 2, ADAM7),
        "interlaced-1-bit.png": png(pixels(1, top=2), 1, 0, ADAM7),
    }
    for bits in [2, 4]:
        files[f"palette-{bits}-bits.png"] = saved(picture("RGB").quantize(1 << bits), "PNG", bits=bits)
        files[f"grey-{bits}-bits.png"] = png(pixels(1, top=1 << bits), bits, 0)
    return files


# First row and column, and step, of each pass of an interlaced PNG; a single pass covers all.
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
ONE_PASS = [(0, 0, 1, 1)]


def png(values, bits, kind, passes=ONE_PASS):
    """Return a PNG of a form that Pillow does not write; `kind` is the color type of the format."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b""
    for row, column, down, right in passes:
        for line in values[row::down, column::right]:
            # No filter.
            rows += b"\0" + packed(line.flatten(), bits)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, kind, 0, 0, int(passes is ADAM7))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def packed(row, bits):
    """Pack a row of values into bytes, the first value in the highest bits."""
    if bits >= 8:
        return row.astype(">u2" if bits == 16 else "u1").tobytes()
    padded = np.pad(row, (0, -len(row) % (8 // bits))).reshape(-1, 8 // bits)
    shifts = np.arange(8 - bits, -1, -bits)
    return (padded.astype(int) << shifts).sum(1).astype(np.uint8).tobytes()


def gifs():
    frames = [picture("RGB").rotate(angle).quantize(20) for angle in [0, 90]]
    return {
        "palette.gif": saved(frames[0], "GIF"),
        "grey.gif": saved(picture("L"), "GIF"),
        "interlaced.gif": saved(frames[0], "GIF", interlace=True),
        "transparent.gif": saved(frames[0], "GIF", transparency=4),
        "animated.gif": saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100, loop=0),
    }


def others():
    rgb, rgba, grey = picture("RGB"), picture("RGBA"), picture("L")
    turned = {0x0112: 6}
    return {
        "lossy.webp": saved(rgb, "WEBP", quality=60),
        "lossless.webp": saved(rgb, "WEBP", lossless=True),
        "lossy-alpha.webp": saved(rgba, "WEBP", quality=80),
        "lossless-alpha.webp": saved(rgba, "WEBP", lossless=True, exact=True),
        "animated.webp": saved(rgb, "WEBP", save_all=True, append_images=[rgb.rotate(180)], lossless=True),
        "rgb.bmp": saved(rgb, "BMP"),
        "grey.bmp": saved(grey, "BMP"),
        "palette.bmp": saved(rgb.quantize(40), "BMP"),
        "one-bit.bmp": saved(grey.convert("1"), "BMP"),
        "rgba.bmp": saved(rgba, "BMP"),
        "rgb.tif": saved(rgb, "TIFF"),
        "lzw.tif": saved(rgb, "TIFF", compression="tiff_lzw"),
        "deflate.tif": saved(rgb, "TIFF", compression="tiff_adobe_deflate"),
        "packbits.tif": saved(grey, "TIFF", compression="packbits"),
        "rgba.tif": saved(rgba, "TIFF"),
        "cmyk.tif": saved(picture("CMYK"), "TIFF"),
        "palette.tif": saved(rgb.quantize(40), "TIFF"),
        "palette-lzw.tif": saved(rgb.quantize(256), "TIFF", compression="tiff_lzw"),
        "palette-turned.tif": saved(rgb.quantize(7), "TIFF", tiffinfo=turned),
        "palette-4-bits.tif": palette_tiff(4),
        "palette-1-bit.tif": palette_tiff(1),
        "turned.tif": saved(rgb, "TIFF", tiffinfo=turned),
        "grey-16.tif": saved(Image.fromarray(pixels(1, top=65536, dtype=np.uint16)[:, :, 0]), "TIFF"),
        "binary.ppm": saved(rgb, "PPM"),
        "binary.pgm": saved(grey, "PPM"),
        "binary.pbm": saved(grey.convert("1"), "PPM"),
        "text.ppm": text(b"P3", pixels(3, top=256), 255),
        "text.pgm": text(b"P2", pixels(1, top=16), 15),
        "text.pbm": b"P1 # a comment\n4 2\n1 0 1 1\n0 1 0 0\n",
        "of-100.ppm": b"P6 %d %d 100\n" % (WIDTH, HEIGHT) + pixels(3, top=101).tobytes(),
        "of-1000.pgm": b"P5 %d %d 1000\n" % (WIDTH, HEIGHT) + pixels(1, top=1001, dtype=">u2").tobytes(),
    }


def palette_tiff(bits):
    """Return a big-endian TIFF with a palette of 16-bit colors and several values per byte."""
    rows = b"".join(packed(row.flatten(), bits) for row in pixels(1, top=1 << bits))
    colors = np.random.default_rng(bits).integers(0, 65536, 3 << bits).astype(">u2").tobytes()
    # Width, height, bits, no compression, a palette, offset of the rows, one value per pixel, number and bytes of the rows.
    fields = {256: WIDTH, 257: HEIGHT, 258: bits, 259: 1, 262: 3, 273: 8, 277: 1, 278: HEIGHT, 279: len(rows)}
    long = 4
    entries = [struct.pack(">HHII", tag, long, 1, value) for tag, value in fields.items()]
    short = 3
    entries.append(struct.pack(">HHII", 320, short, 3 << bits, 8 + len(rows)))
    head = b"MM\0*" + struct.pack(">I", 8 + len(rows) + len(colors))
    return head + rows + colors + struct.pack(">H", len(entries)) + b"".join(entries) + bytes(4)


def text(magic, values, largest):
    """Return a PNM file in text form."""
    words = " ".join(map(str, values.flatten())).encode()
    return magic + b"\n# made for a comparison\n%d %d\n%d\n" % (values.shape[1], values.shape[0], largest) + words + b"\n"


def shapes():
    files = {}
    for width, height in [(1, 1), (1, 200), (200, 1), (2, 3), (3, 150), (400, 5), (255, 256), (257, 256), (600, 31)]:
        for format, name in [("JPEG", "jpg"), ("PNG", "png")]:
            files[f"{width}x{height}.{name}"] = saved(picture("RGB", width, height), format)
    return files
