//! Safetensors files, right and nearly right.

use arbitrary::{Result, Unstructured};
use serde_json::{Map, Value, json};

use crate::entropy::chance;

/// The types of tensors, those first that the library writes.
pub const TYPES: [(&str, usize); 9] = [
    ("F64", 8),
    ("F32", 4),
    ("F16", 2),
    ("BF16", 2),
    ("U64", 8),
    ("U8", 1),
    ("I64", 8),
    ("BOOL", 1),
    ("F8_E4M3", 1),
];

/// A file that is put together tensor by tensor.
#[derive(Default)]
pub struct Builder {
    header: Map<String, Value>,
    data: Vec<u8>,
}

impl Builder {
    /// Sets the metadata.
    pub fn metadata(&mut self, metadata: Map<String, Value>) {
        self.header.insert("__metadata__".to_owned(), Value::Object(metadata));
    }

    /// Adds a tensor; in few cases its place is not where its data are.
    pub fn tensor(
        &mut self,
        u: &mut Unstructured<'_>,
        name: &str,
        dtype: &str,
        shape: &[usize],
        data: &[u8],
    ) -> Result<()> {
        let (mut begin, mut end) = (self.data.len(), self.data.len() + data.len());
        self.data.extend_from_slice(data);
        if chance(u, 1, 100)? {
            begin = u.int_in_range(0..=end + 8)?;
        }
        if chance(u, 1, 100)? {
            end = u.int_in_range(0..=end + 8)?;
        }
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, end]});
        self.header.insert(name.to_owned(), entry);
        Ok(())
    }

    /// Returns the bytes of the file; in few cases the length of its header is wrong.
    pub fn finish(self, u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
        let header = Value::Object(self.header).to_string();
        let length = match chance(u, 1, 100)? {
            true => u.arbitrary()?,
            false => header.len() as u64,
        };
        Ok([&length.to_le_bytes(), header.as_bytes(), &self.data].concat())
    }
}

/// Encodes numbers as a type; types that are no numbers get one byte of each.
pub fn encode(dtype: &str, values: &[f64]) -> Vec<u8> {
    let bytes = |value: f64| match dtype {
        "F64" => value.to_le_bytes().to_vec(),
        "F32" => (value as f32).to_le_bytes().to_vec(),
        // The upper half of single precision; the pattern of half precision is as good as any.
        "F16" | "BF16" => (value as f32).to_le_bytes()[2..].to_vec(),
        "U64" | "I64" => (value as i64).to_le_bytes().to_vec(),
        _ => vec![value as u8],
    };
    values.iter().flat_map(|value| bytes(*value)).collect()
}
