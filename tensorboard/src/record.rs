use crate::crc32c::masked_crc32c;

/// Returns bytes as a TFRecord: their length as 8 bytes, its masked CRC-32C, the bytes, their masked CRC-32C. All numbers
/// are little-endian.
pub fn record(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(bytes.len() + 16);
    record.extend(length);
    record.extend(masked_crc32c(&length).to_le_bytes());
    record.extend(bytes);
    record.extend(masked_crc32c(bytes).to_le_bytes());
    record
}
