//! Records as bytes: eight bytes of time (little-endian milliseconds), then deflated JSON.
//!
//! Floating-point numbers are read back to the bit (serde_json's `float_roundtrip`); the replay relies on it.

use super::StoreError;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{Read, Write};

/// Largest record once inflated: a damaged file cannot make us allocate more.
const LARGEST: u64 = 4 << 20;

/// Encodes a record.
pub fn encode<T: Serialize>(at_ms: u64, record: &T) -> Vec<u8> {
    let json = serde_json::to_vec(record).expect("records have text keys only");
    let mut deflate = DeflateEncoder::new(at_ms.to_le_bytes().to_vec(), Compression::fast());
    deflate.write_all(&json).and_then(|()| deflate.finish()).expect("writing to memory does not fail")
}

/// Time of a record.
pub fn at_ms(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |head| u64::from_le_bytes(*head))
}

/// Decodes record number `seq`.
pub fn decode<T: DeserializeOwned>(seq: u64, bytes: &[u8]) -> Result<T, StoreError> {
    let mut json = Vec::new();
    let body = bytes.get(8..).unwrap_or_default();
    DeflateDecoder::new(body).take(LARGEST).read_to_end(&mut json).map_err(|e| StoreError::Record(seq, e.to_string()))?;
    serde_json::from_slice(&json).map_err(|e| StoreError::Record(seq, e.to_string()))
}

/// Bytes that a value of this length is accounted with: itself, its key and its share of the tree.
pub fn footprint(len: usize) -> u64 {
    len as u64 + 48
}
