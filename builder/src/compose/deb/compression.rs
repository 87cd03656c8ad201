//! The compressions of a package's two tar members, by the member's file name, and their decoders.

use super::DebError;
use liblzma::stream::{MtStreamBuilder, Stream};
use std::io::{self, BufRead, Read};

/// How a tar member is compressed; `dpkg-deb` writes these four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// `.tar`
    None,
    /// `.tar.gz`
    Gzip,
    /// `.tar.xz`
    Xz,
    /// `.tar.zst`
    Zstd,
}

/// A decoder needs at most this: `xz -9` has a window of 64 MiB; a package that wants more is refused.
const XZ_MEMORY_MAX: u64 = 256 << 20;
/// Threads of one .xz decoder hold whole blocks (24 MiB and their output at `dpkg-deb`'s level); fewer threads run beyond this.
const XZ_THREADS_MEMORY: u64 = 160 << 20;
/// Windows up to 128 MiB (2^27), zstd's own limit for what it decodes without being asked.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

impl Compression {
    /// Takes `data.tar.xz` apart when `stem` is `data.tar`; none if the name has another stem.
    pub fn of_member(name: &str, stem: &str) -> Option<Result<Self, DebError>> {
        let extension = name.strip_prefix(stem)?;
        Some(match extension {
            "" => Ok(Compression::None),
            ".gz" => Ok(Compression::Gzip),
            ".xz" => Ok(Compression::Xz),
            ".zst" => Ok(Compression::Zstd),
            _ if extension.starts_with('.') => Err(DebError::Compression { member: name.to_string() }),
            _ => return None,
        })
    }

    /// Decodes `source`. `threads` is how many an .xz of several blocks may use (those of `dpkg-deb -T2` and up have them).
    /// Bytes after the compressed stream are an error of the reader, as is a stream that ends early.
    pub fn decoder<'a>(self, source: impl BufRead + 'a, threads: u32) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Compression::None => Box::new(source),
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(source)),
            Compression::Xz => {
                // One thread is the caller's own: most packages are decoded faster than another is started.
                let stream = match threads {
                    0 | 1 => Stream::new_stream_decoder(XZ_MEMORY_MAX, 0)?,
                    _ => MtStreamBuilder::new()
                        .threads(threads)
                        .memlimit_threading(XZ_THREADS_MEMORY)
                        .memlimit_stop(XZ_MEMORY_MAX)
                        .decoder()?,
                };
                Box::new(XzStream { decoder: liblzma::bufread::XzDecoder::new_stream(source, stream), ended: false })
            }
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Box::new(decoder)
            }
        })
    }
}

/// One .xz stream and nothing after it: liblzma stops at the end of the first stream and would ignore the rest.
struct XzStream<R> {
    decoder: liblzma::bufread::XzDecoder<R>,
    ended: bool,
}

impl<R: BufRead> Read for XzStream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        let n = self.decoder.read(buffer)?;
        if n == 0 {
            self.ended = true;
            if !self.decoder.get_mut().fill_buf()?.is_empty() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "there are bytes after the end of the .xz stream"));
            }
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn xz(bytes: &[u8], threads: u32) -> Vec<u8> {
        let stream = MtStreamBuilder::new().threads(threads).preset(1).block_size(4096).encoder().unwrap();
        let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(compression: Compression, bytes: &[u8], threads: u32) -> io::Result<Vec<u8>> {
        let mut decoded = Vec::new();
        compression.decoder(bytes, threads)?.read_to_end(&mut decoded)?;
        Ok(decoded)
    }

    #[test]
    fn every_compression_is_read() {
        let plain: Vec<u8> = (0..100_000u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
        for (compression, bytes) in [
            (Compression::None, plain.clone()),
            (Compression::Gzip, gzip(&plain)),
            (Compression::Xz, xz(&plain, 2)),
            (Compression::Zstd, zstd::encode_all(&plain[..], 1).unwrap()),
        ] {
            for threads in [1, 2, 7] {
                assert!(read(compression, &bytes, threads).unwrap() == plain, "{compression:?} on {threads} threads");
            }
        }
    }

    #[test]
    fn what_is_cut_short_or_too_long_is_an_error() {
        let plain = vec![7; 50_000];
        for (compression, bytes) in [
            (Compression::Gzip, gzip(&plain)),
            (Compression::Xz, xz(&plain, 2)),
            (Compression::Zstd, zstd::encode_all(&plain[..], 1).unwrap()),
        ] {
            for threads in [1, 2] {
                assert!(read(compression, &bytes[..bytes.len() - 9], threads).is_err(), "{compression:?} cut short");
                let longer = [&bytes[..], b"more"].concat();
                assert!(read(compression, &longer, threads).is_err(), "{compression:?} with bytes after it");
            }
        }
    }

    #[test]
    fn names_say_the_compression() {
        let of = |name| Compression::of_member(name, "data.tar").map(|result| result.map_err(|error| error.to_string()));
        assert_eq!(of("data.tar"), Some(Ok(Compression::None)));
        assert_eq!(of("data.tar.zst"), Some(Ok(Compression::Zstd)));
        assert_eq!(of("control.tar"), None);
        assert_eq!(of("data.tarball"), None);
        let refused = "data.tar.bz2 is compressed in a way that is not supported";
        assert_eq!(of("data.tar.bz2"), Some(Err(refused.to_string())));
    }
}
