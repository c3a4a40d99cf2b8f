//! Frames of SPDY/3.1, as far as streaming protocols use them. Headers are compressed with one state for a connection,
//! so that each block of them has to be read, in order, whether it is of use or not.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use flate2::{Decompress, FlushDecompress};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The text that both sides know before the first header, and its Adler-32 sum.
const DICTIONARY: &[u8; 1423] = include_bytes!("dictionary.bin");
const DICTIONARY_ID: u32 = 0xe3c6_a7c2;

const VERSION: u16 = 3;
const CONTROL: u8 = 0x80;
pub const FIN: u8 = 1;

const MOST_FRAME_BYTES: usize = 1 << 20;
const MOST_HEADER_BYTES: usize = 16 << 10;
const MOST_HEADERS: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the connection broke")]
    Broken(#[from] std::io::Error),
    #[error("a frame of {0} bytes")]
    TooLarge(usize),
    #[error("a frame that is none: {0}")]
    Malformed(&'static str),
}

/// A frame from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Open {
        stream: u32,
        headers: Vec<(String, String)>,
        fin: bool,
    },
    Data {
        stream: u32,
        data: Bytes,
        fin: bool,
    },
    Reset {
        stream: u32,
    },
    Ping {
        id: u32,
    },
    GoAway,
    /// One that asks for nothing.
    Other,
}

/// Reads frames.
pub struct Reader<R> {
    from: R,
    headers: Headers,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub fn new(from: R) -> Self {
        Self { from, headers: Headers::new() }
    }

    /// What has not been read.
    pub fn into_inner(self) -> R {
        self.from
    }

    /// The next frame; None where the connection ends between two.
    pub async fn next(&mut self) -> Result<Option<Frame>, Error> {
        let mut head = [0; 8];
        match self.from.read_exact(&mut head).await {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        };
        let length = usize::from(head[5]) << 16 | usize::from(head[6]) << 8 | usize::from(head[7]);
        if length > MOST_FRAME_BYTES {
            return Err(Error::TooLarge(length));
        }
        let mut body = BytesMut::zeroed(length);
        self.from.read_exact(&mut body).await?;
        let (first, flags, body) = (u32::from_be_bytes([head[0], head[1], head[2], head[3]]), head[4], body.freeze());
        if head[0] & CONTROL == 0 {
            return Ok(Some(Frame::Data { stream: first, data: body, fin: flags & FIN != 0 }));
        }
        if (first >> 16) as u16 & 0x7fff != VERSION {
            return Err(Error::Malformed("of another version of SPDY"));
        }
        self.control(first as u16, flags, body).map(Some)
    }

    fn control(&mut self, kind: u16, flags: u8, mut body: Bytes) -> Result<Frame, Error> {
        let mut number = || body.try_get_u32().map_err(|_| Error::Malformed("too short"));
        Ok(match kind {
            1 => {
                let stream = number()? & 0x7fff_ffff;
                number()?;
                body.try_get_u16().map_err(|_| Error::Malformed("too short"))?;
                Frame::Open { stream, headers: self.headers.read(&body)?, fin: flags & FIN != 0 }
            }
            // Replies and further headers change the state of decompression.
            2 | 8 => {
                number()?;
                self.headers.read(&body)?;
                Frame::Other
            }
            3 => Frame::Reset { stream: number()? & 0x7fff_ffff },
            6 => Frame::Ping { id: number()? },
            7 => Frame::GoAway,
            _ => Frame::Other,
        })
    }
}

/// Decompresses blocks of headers.
struct Headers {
    state: Decompress,
    has_begun: bool,
}

impl Headers {
    fn new() -> Self {
        let mut state = Decompress::new(false);
        // What is decompressed may refer to the dictionary: it is put before it, as a block that is not compressed.
        let mut block = stored(DICTIONARY);
        block[0] = 0;
        let mut seen = Vec::with_capacity(DICTIONARY.len());
        // Our own block is whole.
        let _ = state.decompress_vec(&block, &mut seen, FlushDecompress::Sync);
        Self { state, has_begun: false }
    }

    fn read(&mut self, mut block: &[u8]) -> Result<Vec<(String, String)>, Error> {
        if !self.has_begun {
            // The head of a zlib stream, which names its dictionary.
            const NAMES_DICTIONARY: u16 = 0x20;
            let head = block.try_get_u16().map_err(|_| Error::Malformed("no headers"))?;
            if head & NAMES_DICTIONARY != 0 && block.try_get_u32() != Ok(DICTIONARY_ID) {
                return Err(Error::Malformed("headers with another dictionary"));
            }
            self.has_begun = true;
        }
        let mut text: Vec<u8> = Vec::with_capacity(1024);
        let mut read = 0;
        while read < block.len() {
            if text.len() >= MOST_HEADER_BYTES {
                return Err(Error::Malformed("too many headers"));
            }
            text.reserve(1024);
            let (before, written) = (self.state.total_in(), text.len());
            let done = self.state.decompress_vec(&block[read..], &mut text, FlushDecompress::Sync);
            done.map_err(|_| Error::Malformed("headers that are not compressed"))?;
            let taken = usize::try_from(self.state.total_in() - before).unwrap_or(0);
            if taken == 0 && text.len() == written {
                return Err(Error::Malformed("headers that end too early"));
            }
            read += taken;
        }
        self.rest(&mut text)?;
        pairs(&text).ok_or(Error::Malformed("headers"))
    }

    /// What has been taken in and not yet given out.
    fn rest(&mut self, text: &mut Vec<u8>) -> Result<(), Error> {
        while text.len() == text.capacity() && text.len() < MOST_HEADER_BYTES {
            text.reserve(1024);
            self.state.decompress_vec(&[], text, FlushDecompress::Sync).map_err(|_| Error::Malformed("headers that are not compressed"))?;
        }
        Ok(())
    }
}

fn pairs(mut text: &[u8]) -> Option<Vec<(String, String)>> {
    let count = text.try_get_u32().ok()? as usize;
    if count > MOST_HEADERS {
        return None;
    }
    let mut word = || {
        let length = text.try_get_u32().ok()? as usize;
        let (word, rest) = text.split_at_checked(length)?;
        text = rest;
        String::from_utf8(word.to_vec()).ok()
    };
    (0..count).map(|_| Some((word()?, word()?))).collect()
}

/// A block of a deflate stream that is not compressed, followed by an empty one, which makes its reader give all of it out.
fn stored(data: &[u8]) -> Vec<u8> {
    // The blocks written here are far shorter than their longest.
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    let mut block = vec![0];
    block.extend(length.to_le_bytes());
    block.extend((!length).to_le_bytes());
    block.extend(data);
    block.extend([0, 0, 0, 0xff, 0xff]);
    block
}

/// Writes frames.
#[derive(Default)]
pub struct Writer {
    has_begun: bool,
}

impl Writer {
    /// Says yes to a stream, with no headers.
    pub fn reply(&mut self, stream: u32) -> Bytes {
        let mut body = stream.to_be_bytes().to_vec();
        if !self.has_begun {
            self.has_begun = true;
            // A zlib stream with a dictionary, which it then does not use.
            body.extend([0x78, 0x20]);
            body.extend(DICTIONARY_ID.to_be_bytes());
        }
        body.extend(stored(&0u32.to_be_bytes()));
        control(2, &body)
    }
}

pub fn reset(stream: u32) -> Bytes {
    const REFUSED: u32 = 3;
    control(3, &[stream.to_be_bytes(), REFUSED.to_be_bytes()].concat())
}

pub fn ping(id: u32) -> Bytes {
    control(6, &id.to_be_bytes())
}

/// Nothing comes after streams up to this one.
pub fn go_away(last: u32) -> Bytes {
    control(7, &[last.to_be_bytes(), 0u32.to_be_bytes()].concat())
}

pub fn data(stream: u32, data: &[u8], fin: bool) -> Bytes {
    let mut frame = BytesMut::with_capacity(8 + data.len());
    frame.put_u32(stream);
    frame.put_u8(if fin { FIN } else { 0 });
    // Pieces are far shorter than the longest.
    frame.put_uint(data.len() as u64, 3);
    frame.put_slice(data);
    frame.freeze()
}

fn control(kind: u16, body: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(8 + body.len());
    frame.put_u16(VERSION | u16::from(CONTROL) << 8);
    frame.put_u16(kind);
    frame.put_u8(0);
    frame.put_uint(body.len() as u64, 3);
    frame.put_slice(body);
    frame.freeze()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    async fn frames(bytes: &[u8]) -> Result<Vec<Frame>, Error> {
        let mut reader = Reader::new(bytes);
        let mut all = Vec::new();
        while let Some(frame) = reader.next().await? {
            all.push(frame);
        }
        Ok(all)
    }

    /// A request for a stream, as a client with a real compressor makes it.
    fn open(state: &mut Option<Compress>, stream: u32, headers: &[(&str, &str)]) -> Vec<u8> {
        let mut text = (headers.len() as u32).to_be_bytes().to_vec();
        for word in headers.iter().flat_map(|(name, value)| [name, value]) {
            text.extend((word.len() as u32).to_be_bytes());
            text.extend(word.as_bytes());
        }
        let mut body = [stream.to_be_bytes(), [0; 4]].concat();
        body.extend([0, 0]);
        if state.is_none() {
            body.extend([0x78, 0x20]);
            body.extend(DICTIONARY_ID.to_be_bytes());
        }
        let state = state.get_or_insert_with(|| Compress::new(Compression::best(), false));
        let mut packed = Vec::with_capacity(1 << 16);
        state.compress_vec(&text, &mut packed, FlushCompress::Sync).unwrap();
        body.extend(packed);
        let mut frame = control(1, &body).to_vec();
        frame[4] = 0;
        frame
    }

    #[tokio::test]
    async fn headers_are_read_with_one_state() {
        let mut state = None;
        let headers = [("streamtype", "error"), ("port", "8080"), ("requestid", "0")];
        let mut bytes = open(&mut state, 1, &headers);
        bytes.extend(open(&mut state, 3, &headers));
        bytes.extend(data(3, b"hello", true));
        bytes.extend(ping(7));
        let headers: Vec<(String, String)> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let expected = [
            Frame::Open { stream: 1, headers: headers.clone(), fin: false },
            Frame::Open { stream: 3, headers, fin: false },
            Frame::Data { stream: 3, data: Bytes::from_static(b"hello"), fin: true },
            Frame::Ping { id: 7 },
        ];
        assert_eq!(frames(&bytes).await.unwrap(), expected);
    }

    #[tokio::test]
    async fn replies_can_be_read() {
        let mut writer = Writer::default();
        let replies = [writer.reply(1), writer.reply(3)].concat();
        assert_eq!(frames(&replies).await.unwrap(), [Frame::Other, Frame::Other]);
    }

    #[tokio::test]
    async fn what_is_too_large_or_broken_is_refused() {
        let mut bomb = None;
        let long = "x".repeat(100_000);
        let giant = [0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff];
        let other_version = [0x80, 2, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1];
        let short = [0x80, 3, 0, 6, 0, 0, 0, 1, 0];
        let garbage = [0x80, 3, 0, 1, 0, 0, 0, 14, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x78, 0x9c, 0xff, 0xff];
        assert!(frames(&open(&mut bomb, 1, &[("a", &long)])).await.is_err());
        for bytes in [&giant[..], &other_version, &short, &garbage] {
            assert!(frames(bytes).await.is_err(), "{bytes:?}");
        }
        assert!(frames(&[0, 0, 0, 1, 0, 0, 0, 9, 1]).await.is_err());
    }
}
