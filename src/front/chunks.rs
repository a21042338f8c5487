//! Where a request's chunked body ends (RFC 9112 §7.1), read strictly.
//!
//! Lines end in CR LF and nothing else, sizes are bare hexadecimal, and a chunk's data is
//! followed by its CR LF: whoever is in front of us may read a lenient form differently.
//! Extensions and trailers are allowed, within bounds, and mean nothing here.

/// A chunk size has at most this many digits: 2^60 bytes.
const DIGITS: u8 = 15;
/// Bytes of one chunk's extensions.
const EXTENSIONS: usize = 512;
/// Bytes of all trailers.
const TRAILERS: usize = 8 * 1024;

/// Follows a chunked body to its end without changing it.
#[derive(Debug, Default)]
pub struct Chunks {
    state: State,
    /// The size being read, or the data of a chunk still to come.
    left: u64,
    digits: u8,
    /// Bytes of the extensions or trailers being read.
    seen: usize,
}

/// What the next byte is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    /// White space behind the size: only an extension may follow.
    Space,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
    Done,
}

/// This is no chunked body.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken;

impl Chunks {
    /// How many of these bytes belong to the body.
    ///
    /// # Errors
    /// They cannot be the continuation of a chunked body.
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        let mut rest = bytes;
        while self.state != State::Done {
            if self.state == State::Data {
                let skipped = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
                self.left -= skipped as u64;
                rest = rest.get(skipped..).unwrap_or_default();
                if self.left == 0 {
                    self.state = State::DataCr;
                }
            }
            let Some((byte, after)) = rest.split_first() else { break };
            self.state = self.step(*byte)?;
            rest = after;
        }
        Ok(bytes.len() - rest.len())
    }

    /// Whether the whole body has gone by.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    fn step(&mut self, byte: u8) -> Result<State, Broken> {
        use State as S;
        Ok(match (self.state, byte) {
            (S::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if self.digits < DIGITS => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                self.left = self.left * 16 + u64::from(digit);
                self.digits += 1;
                S::Size
            }
            (S::Size | S::Space, b' ' | b'\t') if self.digits > 0 => self.count(S::Space)?,
            (S::Size | S::Space, b';') if self.digits > 0 => S::Extension,
            (S::Size, b'\r') if self.digits > 0 => S::SizeLf,
            (S::Extension, b'\r') => S::SizeLf,
            (S::Extension, b'\t' | b' '..=b'~' | 0x80..) => self.count(S::Extension)?,
            (S::SizeLf, b'\n') => {
                (self.digits, self.seen) = (0, 0);
                if self.left == 0 { S::TrailerStart } else { S::Data }
            }
            (S::DataCr, b'\r') => S::DataLf,
            (S::DataLf, b'\n') => S::Size,
            (S::TrailerStart, b'\r') => S::EndLf,
            (S::Trailer, b'\r') => S::TrailerLf,
            (S::TrailerStart | S::Trailer, b'\t' | b' '..=b'~' | 0x80..) => {
                self.count(S::Trailer)?
            }
            (S::TrailerLf, b'\n') => S::TrailerStart,
            (S::EndLf, b'\n') => S::Done,
            _ => return Err(Broken),
        })
    }

    fn count(&mut self, next: State) -> Result<State, Broken> {
        self.seen += 1;
        let most = if next == State::Trailer { TRAILERS } else { EXTENSIONS };
        if self.seen > most { Err(Broken) } else { Ok(next) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes belong to the body, `None` while it goes on.
    fn length(bytes: &[u8]) -> Result<Option<usize>, Broken> {
        let mut at_once = Chunks::default();
        let whole = at_once.take(bytes).map(|taken| at_once.is_done().then_some(taken));
        let mut piecemeal = Chunks::default();
        let mut taken = 0;
        for byte in bytes {
            match piecemeal.take(std::slice::from_ref(byte)) {
                Ok(mine) => taken += mine,
                Err(broken) => {
                    assert_eq!(whole, Err(Broken), "at once it passes: {bytes:?}");
                    return Err(broken);
                }
            }
        }
        assert_eq!(whole, Ok(piecemeal.is_done().then_some(taken)), "{bytes:?}");
        whole
    }

    #[test]
    fn the_end_is_found_at_once_and_byte_by_byte() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "A\r\n0123456789\r\n00b\r\n0123456789a\r\n0\r\n\r\n",
            "5;a=b;c=\"d\"\r\nhello\r\n0;x\r\n\r\n",
            "5 ;a\r\nhello\r\n0\r\nX-A: 1\r\nX-B: \r\n\r\n",
            "2\r\n\r\n\r\n0\r\n\r\n",
        ] {
            let with_more = format!("{body}GET / HTTP/1.1\r\n");
            assert_eq!(length(with_more.as_bytes()), Ok(Some(body.len())), "{body:?}");
            assert_eq!(length(&body.as_bytes()[..body.len() - 1]), Ok(None), "{body:?}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_broken() {
        for body in [
            "5\nhello\r\n",
            "5\r\nhello\n",
            "5\r\nhelloX\r\n",
            "5\r\nhello0\r\n\r\n",
            "\r\n0\r\n\r\n",
            ";a\r\n",
            "+5\r\nhello\r\n",
            "0x5\r\nhello\r\n",
            " 5\r\nhello\r\n",
            "5 \r\nhello\r\n",
            "5 5\r\nhello\r\n",
            "5;a\nhello\r\n",
            "5;a\rb\r\nhello\r\n",
            "5;\0\r\n",
            "g\r\n",
            "-1\r\n",
            "1000000000000000\r\n",
            "0\r\n\n",
            "0\r\nX: 1\n\r\n",
            "0\r\nX: 1\r\r\n",
            "0\r\n\rX",
        ] {
            assert_eq!(length(body.as_bytes()), Err(Broken), "{body:?}");
        }
    }

    #[test]
    fn extensions_and_trailers_have_bounds() {
        let extension = |length| format!("1;{}\r\nx\r\n0\r\n\r\n", "x".repeat(length));
        assert!(length(extension(500).as_bytes()).is_ok());
        assert_eq!(length(extension(513).as_bytes()), Err(Broken));
        let trailers = |count| format!("0\r\n{}\r\n", "X-Long: 0123456789\r\n".repeat(count));
        assert!(length(trailers(400).as_bytes()).is_ok());
        assert_eq!(length(trailers(500).as_bytes()), Err(Broken));
    }
}
