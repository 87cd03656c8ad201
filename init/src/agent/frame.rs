//! A stream of bytes into JSON objects. The protocol has no separators: an object ends with its last brace.

/// The longest object; what is longer is answered by an error and passed over.
const LONGEST: usize = 64 << 10;

/// With this byte, which JSON never holds, the other side says that it begins anew.
const SENTINEL: u8 = 0xff;

/// One piece of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// An object, from brace to brace.
    Object(Vec<u8>),
    /// Something that is no object, up to the end of its line.
    Garbage,
}

/// What has come so far.
#[derive(Debug, Default)]
pub(super) struct Frames {
    object: Vec<u8>,
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// Passing over something, up to the end of the line.
    skipping: bool,
}

impl Frames {
    /// Takes a byte; the piece that it completes, if it does.
    pub(super) fn push(&mut self, byte: u8) -> Option<Frame> {
        if byte == SENTINEL {
            *self = Self::default();
            return None;
        }
        if self.skipping {
            self.skipping = byte != b'\n';
            return (!self.skipping).then_some(Frame::Garbage);
        }
        if self.depth == 0 {
            match byte {
                b'{' => self.begin(),
                byte if byte.is_ascii_whitespace() => {}
                _ => self.skipping = true,
            }
            return None;
        }
        self.object.push(byte);
        if self.object.len() > LONGEST {
            *self = Self { skipping: true, ..Self::default() };
            return None;
        }
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.in_string => self.escaped = true,
            b'"' => self.in_string = !self.in_string,
            b'{' | b'[' if !self.in_string => self.depth += 1,
            b'}' | b']' if !self.in_string => self.depth -= 1,
            _ => {}
        }
        (self.depth == 0).then(|| Frame::Object(std::mem::take(&mut self.object)))
    }

    fn begin(&mut self) {
        self.depth = 1;
        self.object.push(b'{');
    }
}
