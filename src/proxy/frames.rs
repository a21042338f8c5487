//! Where one WebSocket frame ends and the next begins (RFC 6455 §5.2), without looking at
//! what they say: enough to put a Close frame between two of them.

/// Follows one direction of a WebSocket stream.
#[derive(Debug, Default)]
pub struct Frames {
    /// Bytes of the current frame's header seen so far (at most 14).
    header: [u8; 14],
    have: usize,
    /// Payload bytes of the current frame still to come.
    remaining: u64,
    closing: bool,
}

/// WebSocket opcode of a Close frame (RFC 6455 §5.5.1).
const CLOSE: u8 = 0x8;

impl Frames {
    /// Takes note of bytes that have gone by.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.remaining > 0 {
                let skipped =
                    usize::try_from(self.remaining).unwrap_or(usize::MAX).min(bytes.len());
                self.remaining -= skipped as u64;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            let Some((first, rest)) = bytes.split_first() else { return };
            if let Some(slot) = self.header.get_mut(self.have) {
                *slot = *first;
            }
            self.have += 1;
            bytes = rest;
            if self.have >= 2 && self.have == self.header_length() {
                self.closing |= self.header[0] & 0x0f == CLOSE;
                self.remaining = self.payload_length();
                self.have = 0;
            }
        }
    }

    /// Whether the stream stands between two frames.
    pub fn at_boundary(&self) -> bool {
        self.have == 0 && self.remaining == 0
    }

    /// How many bytes may be taken without passing the end of the current frame; 0 between
    /// two frames.
    pub fn to_boundary(&self) -> u64 {
        match self.have {
            0 => self.remaining,
            1 => 1,
            have => self.header_length().saturating_sub(have) as u64,
        }
    }

    /// Whether a Close frame has begun to go by: another one may not follow.
    pub fn closing(&self) -> bool {
        self.closing
    }

    fn header_length(&self) -> usize {
        let mask = if self.header[1] & 0x80 == 0 { 0 } else { 4 };
        let extended = match self.header[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + extended + mask
    }

    fn payload_length(&self) -> u64 {
        let big_endian = |bytes: &[u8]| bytes.iter().fold(0, |n, b| (n << 8) | u64::from(*b));
        match self.header[1] & 0x7f {
            126 => big_endian(&self.header[2..4]),
            127 => big_endian(&self.header[2..10]),
            short => u64::from(short),
        }
    }
}

/// A Close frame from a server: unmasked, with its code and reason (at most 123 bytes).
pub fn close_from_server(code: u16, reason: &str) -> Vec<u8> {
    let payload = close_payload(code, reason);
    let mut frame = vec![0x80 | CLOSE, payload.len() as u8];
    frame.extend(payload);
    frame
}

/// A Close frame from a client: masked, as RFC 6455 §5.3 demands; the mask hides nothing
/// here, so it is zero.
pub fn close_from_client(code: u16, reason: &str) -> Vec<u8> {
    let payload = close_payload(code, reason);
    let mut frame = vec![0x80 | CLOSE, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    frame.extend(payload);
    frame
}

fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    let mut payload = code.to_be_bytes().to_vec();
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    payload.extend_from_slice(reason.get(..end).unwrap_or_default().as_bytes());
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(opcode: u8, masked: bool, length: usize) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut bytes = vec![0x80 | opcode];
        match length {
            0..126 => bytes.push(mask | length as u8),
            126..65536 => {
                bytes.push(mask | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(mask | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        if masked {
            bytes.extend([1, 2, 3, 4]);
        }
        bytes.extend(vec![0x88; length]);
        bytes
    }

    #[test]
    fn boundaries_are_found_at_every_size_and_split() {
        for masked in [false, true] {
            for length in [0, 1, 125, 126, 65535, 65536] {
                let bytes = frame(1, masked, length);
                for step in [1, 7, bytes.len()] {
                    let mut frames = Frames::default();
                    let (last, all_but_last) = bytes.split_last().unwrap();
                    for chunk in all_but_last.chunks(step) {
                        frames.pass(chunk);
                        assert!(!frames.at_boundary(), "{masked} {length} {step}");
                        assert!(frames.to_boundary() > 0);
                    }
                    frames.pass(&[*last]);
                    assert!(frames.at_boundary(), "{masked} {length} {step}");
                    assert!(!frames.closing());
                }
            }
        }
    }

    #[test]
    fn what_is_taken_to_the_boundary_never_passes_it() {
        for (masked, length) in [(false, 0), (true, 5), (true, 300), (false, 70_000)] {
            let first = frame(2, masked, length);
            let both = [&first[..], &frame(1, masked, 9)].concat();
            let mut frames = Frames::default();
            let mut at = 1;
            frames.pass(&both[..1]);
            while frames.to_boundary() > 0 {
                let end = at + frames.to_boundary() as usize;
                frames.pass(&both[at..end]);
                at = end;
            }
            assert_eq!(at, first.len());
        }
    }

    #[test]
    fn a_close_frame_is_noticed_and_ours_are_well_formed() {
        for bytes in [close_from_server(1012, "restart"), close_from_client(1001, &"é".repeat(99))]
        {
            let mut frames = Frames::default();
            frames.pass(&bytes);
            assert!(frames.at_boundary() && frames.closing());
        }
        assert_eq!(close_from_server(3003, "no"), [0x88, 4, 0x0b, 0xbb, b'n', b'o']);
    }
}
