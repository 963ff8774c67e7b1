//! The checksum that a header of version 2 may carry: CRC-32C (Castagnoli), RFC 3720, B.4.

/// The polynomial 0x1EDC6F41, its bits reversed.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// What eight steps make of each byte.
static TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

/// The checksum of the bytes so far.
pub(super) struct Crc32c(u32);

impl Crc32c {
    /// Of no bytes.
    pub(super) fn new() -> Crc32c {
        Crc32c(!0)
    }

    /// Adds bytes; however they are cut, the sum is the same.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |crc, byte| crc >> 8 ^ TABLE[usize::from(crc as u8 ^ byte)]);
    }

    /// The checksum.
    pub(super) fn value(&self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_3720() {
        let rising: Vec<u8> = (0..32).collect();
        let falling: Vec<u8> = (0..32).rev().collect();
        // B.4 prints the sums as they lie on the wire, the lowest byte first.
        let cases: [(&[u8], u32); 6] = [
            (&[], 0),
            (b"123456789", 0xE306_9283),
            (&[0; 32], 0x8A91_36AA),
            (&[0xFF; 32], 0x62A8_AB43),
            (&rising, 0x46DD_794E),
            (&falling, 0x113F_DB5C),
        ];
        for (bytes, sum) in cases {
            for cut in 0..=bytes.len() {
                let mut crc = Crc32c::new();
                crc.add(&bytes[..cut]);
                crc.add(&bytes[cut..]);
                assert_eq!(crc.value(), sum, "{bytes:02x?} cut at {cut}");
            }
        }
    }
}
