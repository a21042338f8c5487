//! Header values, written one after another into one buffer: a request that gains a dozen
//! headers costs one allocation for all of their values, and copying such a value copies no
//! bytes.

use std::fmt::Write;
use std::net::IpAddr;

use bytes::{Bytes, BytesMut};
use http::HeaderValue;

/// Room for the usual visitor's values.
const USUAL: usize = 512;

/// Writes header values.
#[derive(Debug)]
pub struct Values {
    buffer: BytesMut,
}

impl Values {
    /// Begins with room for the usual request.
    pub fn new() -> Self {
        Self { buffer: BytesMut::with_capacity(USUAL) }
    }

    /// These pieces after each other; none if that is no header value.
    pub fn joined(&mut self, pieces: &[&str]) -> Option<HeaderValue> {
        for piece in pieces {
            self.buffer.extend_from_slice(piece.as_bytes());
        }
        self.written()
    }

    /// An integer in decimal.
    pub fn number(&mut self, number: u64) -> Option<HeaderValue> {
        self.joined(&[itoa::Buffer::new().format(number)])
    }

    /// An address as people write it: `192.0.2.1`, `2001:db8::1`.
    pub fn address(&mut self, address: IpAddr) -> Option<HeaderValue> {
        match address {
            IpAddr::V4(address) => {
                for (place, octet) in address.octets().into_iter().enumerate() {
                    let dot = if place == 0 { "" } else { "." };
                    self.buffer.extend_from_slice(dot.as_bytes());
                    self.buffer.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
                }
            }
            // Writing into a buffer that grows cannot fail.
            IpAddr::V6(address) => _ = write!(self.buffer, "{address}"),
        }
        self.written()
    }

    /// A plain value: percent-encoded UTF-8 with upper-case hex; `%`, controls, non-ASCII
    /// and a space at either end are encoded, nothing else.
    pub fn plain(&mut self, text: &str) -> Option<HeaderValue> {
        let last = text.len().saturating_sub(1);
        let passes = |(index, byte): (usize, u8)| match byte {
            b'%' => false,
            b' ' => index != 0 && index != last,
            _ => byte.is_ascii_graphic(),
        };
        // Without an early exit, so that the compiler looks at many bytes at once.
        let encoded = |byte: u8| !byte.is_ascii_graphic() | (byte == b'%');
        if !text.bytes().fold(false, |any, byte| any | encoded(byte)) {
            return self.joined(&[text]);
        }
        for (index, byte) in text.bytes().enumerate() {
            if passes((index, byte)) {
                self.buffer.extend_from_slice(&[byte]);
            } else {
                let encoded = percent_encoding::percent_encode_byte(byte);
                self.buffer.extend_from_slice(encoded.as_bytes());
            }
        }
        self.written()
    }

    fn written(&mut self) -> Option<HeaderValue> {
        let bytes: Bytes = self.buffer.split().freeze();
        HeaderValue::from_maybe_shared(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_are_percent_encoded_and_nothing_else() {
        let mut values = Values::new();
        for (text, expected) in [
            ("user-123456", "user-123456"),
            ("Ada Lovelace", "Ada Lovelace"),
            ("Krūmiņa", "Kr%C5%ABmi%C5%86a"),
            ("🙂", "%F0%9F%99%82"),
            ("100%", "100%25"),
            ("a\r\nSet-Cookie: x", "a%0D%0ASet-Cookie: x"),
            ("\ttab\u{7f}", "%09tab%7F"),
            (" lead", "%20lead"),
            ("trail ", "trail%20"),
            (" ", "%20"),
            ("u1 ", "u1%20"),
            ("a,b;c=\"d\"", "a,b;c=\"d\""),
        ] {
            assert_eq!(values.plain(text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn addresses_are_written_as_the_standard_library_writes_them() {
        let mut values = Values::new();
        for text in ["0.0.0.0", "192.0.2.1", "255.255.255.255", "::1", "2001:db8::a:1"] {
            assert_eq!(values.address(text.parse().unwrap()).unwrap(), text);
        }
    }

    #[test]
    fn values_do_not_run_into_each_other_nor_into_a_refused_one() {
        let mut values = Values::new();
        let long = "x".repeat(2 * USUAL);
        let first = values.joined(&["a", "b"]);
        assert_eq!(values.joined(&["no\nvalue"]), None);
        let second = values.number(42);
        let third = values.plain(&long);
        assert_eq!(first.unwrap(), "ab");
        assert_eq!(second.unwrap(), "42");
        assert_eq!(third.unwrap(), long.as_str());
    }
}
