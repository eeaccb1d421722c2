//! Frames on the socket: length u32, number of the request u64, then bytes; integers little-endian.

use std::io::{self, Read, Write};

pub(crate) const GRV: u8 = 1;
pub(crate) const GET: u8 = 2;
pub(crate) const RANGE: u8 = 3;
pub(crate) const COMMIT: u8 = 4;
pub(crate) const CONTROL: u8 = 5;

/// Builds a payload.
#[derive(Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn byte(&mut self, value: u8) -> &mut Writer {
        self.0.push(value);
        self
    }

    pub(crate) fn number(&mut self, value: u64) -> &mut Writer {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Writer {
        self.number(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    pub(crate) fn optional(&mut self, value: Option<&[u8]>) -> &mut Writer {
        match value {
            None => self.byte(0),
            Some(value) => self.byte(1).bytes(value),
        }
    }

    pub(crate) fn ranges(&mut self, ranges: &[(Vec<u8>, Vec<u8>)]) -> &mut Writer {
        self.number(ranges.len() as u64);
        for (start, end) in ranges {
            self.bytes(start).bytes(end);
        }
        self
    }
}

/// Takes a payload apart. Both ends are of one build, so that a mistake is a bug.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl Reader<'_> {
    pub(crate) fn byte(&mut self) -> u8 {
        let (byte, rest) = self.0.split_first().expect("a byte");
        self.0 = rest;
        *byte
    }

    pub(crate) fn number(&mut self) -> u64 {
        let (number, rest) = self.0.split_first_chunk().expect("a number");
        self.0 = rest;
        u64::from_le_bytes(*number)
    }

    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        let length = self.number() as usize;
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes.to_vec()
    }

    pub(crate) fn optional(&mut self) -> Option<Vec<u8>> {
        (self.byte() == 1).then(|| self.bytes())
    }

    pub(crate) fn ranges(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        (0..self.number()).map(|_| (self.bytes(), self.bytes())).collect()
    }
}

pub(crate) fn write_frame(to: &mut impl Write, id: u64, payload: &[u8]) -> io::Result<()> {
    let mut frame = Vec::with_capacity(12 + payload.len());
    frame.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    frame.extend_from_slice(&id.to_le_bytes());
    frame.extend_from_slice(payload);
    to.write_all(&frame)
}

pub(crate) fn read_frame(from: &mut impl Read) -> io::Result<(u64, Vec<u8>)> {
    let mut head = [0; 12];
    from.read_exact(&mut head)?;
    let (length, id) = head.split_at(4);
    let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
    let mut payload = vec![0; length];
    from.read_exact(&mut payload)?;
    Ok((u64::from_le_bytes(id.try_into().expect("eight bytes")), payload))
}
